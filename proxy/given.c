/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/given.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "proxy/hostsfile.h"
#include "proxy/resolvconf.h"
#include "proxy/worker.h"

#define CONTAINER_MAX 4096

static int map_blob(int fd, size_t max, const char *what, struct blob *ret, struct error *err)
{
	const void *bytes = "";
	size_t len = 0;
	if (fcntl(fd, F_GETFD) < 0) {
		*ret = (struct blob){ 0 };
		return 0;
	}
	/* an empty file is an empty memfd, which cannot be mapped */
	if (lseek(fd, 0, SEEK_END) > 0 && io_map_sealed(fd, max, &bytes, &len, err) < 0)
		return error_wrap(err, "%s", what);
	close(fd);
	*ret = (struct blob){ .bytes = bytes, .len = len };
	return 0;
}

static int map_image(const struct image **ret, struct error *err)
{
	const void *bytes;
	size_t len;
	int r = io_map_sealed(WORKER_FD_IMAGE, IMAGE_SIZE_MAX, &bytes, &len, err);
	if (r == 0)
		r = image_check(bytes, len, ret, err);
	if (r < 0)
		return error_wrap(err, "policy image");
	close(WORKER_FD_IMAGE);
	return 0;
}

int given_map(struct given *ret, struct error *err)
{
	struct given given;
	int r = map_image(&given.image, err);
	if (r == 0)
		r = map_blob(WORKER_FD_CONTAINER, CONTAINER_MAX, "container", &given.container, err);
	if (r == 0)
		r = map_blob(WORKER_FD_RESOLV_CONF, RESOLVCONF_SIZE_MAX, "resolv.conf", &given.resolvconf, err);
	if (r == 0)
		r = map_blob(WORKER_FD_HOSTS, HOSTSFILE_SIZE_MAX, "hosts file", &given.hosts, err);
	if (r == 0)
		*ret = given;
	return r;
}
