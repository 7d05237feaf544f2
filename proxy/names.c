/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "proxy/inherited.h"

/* An empty file is as good as none. */
static int read_file(const struct names_file *file, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, errno, "%s", file->path);
	int r = io_read_all(fd, file->max, ret_text, ret_len, err);
	return r < 0 ? error_wrap(err, "%s", file->path) : 0;
}

static bool is_copy(const struct names_file *file, const char *text, size_t len)
{
	const void *map;
	size_t map_len;
	int fd = inherited_fd(file->fd);
	if (fd < 0 || len == 0)
		return fd < 0 && len == 0;
	if (io_map_sealed(fd, file->max, &map, &map_len, NULL) < 0)
		return false;
	bool equal = map_len == len && memcmp(map, text, len) == 0;
	(void) munmap((void *) (uintptr_t) map, map_len);
	return equal;
}

static int copy(const struct names_file *file, const char *text, size_t len, struct error *err)
{
	if (len == 0) {
		inherited_drop(file->fd);
		return 0;
	}
	_cleanup_close_ int fd = -1;
	int r = io_memfd(file->path, text, len, &fd, err);
	if (r < 0)
		return r;
	r = inherited_put(file->fd, fd);
	return r < 0 ? error_set(err, -r, "copy of %s", file->path) : 0;
}

int names_look(struct names_file *file, size_t *ret_len, struct error *err)
{
	char stamp[STAMP_SIZE];
	stamp_path(file->path, stamp);
	if (strcmp(stamp, file->stamp) == 0)
		return 0;
	memcpy(file->stamp, stamp, sizeof(stamp));

	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = read_file(file, &text, &len, err);
	if (r < 0 || is_copy(file, text, len))
		return r;
	r = copy(file, text, len, err);
	if (r < 0)
		return r;
	*ret_len = len;
	return 1;
}
