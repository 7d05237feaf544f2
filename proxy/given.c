/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/given.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "oci/imagefile.h"
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

int given_map_later(int fd, size_t len, const void **ret)
{
	void *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	int failure = map == MAP_FAILED ? -errno : 0;
	close(fd);
	if (failure == 0)
		*ret = map;
	return failure;
}

static int map_image(const struct image **ret, struct error *err)
{
	size_t len;
	int r = imagefile_map(WORKER_FD_IMAGE, ret, &len, err);
	if (r < 0)
		return r;
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
