/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/owner.h"

static int check_owner(int fd, const char *path, mode_t type, uid_t also, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", path);
	if ((st.st_mode & S_IFMT) != type)
		return error_say(err, EINVAL, "%s: not a %s", path, type == S_IFDIR ? "directory" : "regular file");
	if ((st.st_uid != also && !owner_trusted(st.st_uid)) || (st.st_mode & 0022) != 0)
		return error_say(err, EPERM,
			"%s: owned by uid %u with mode %04o, expected root and writable by nobody else", path,
			(unsigned) st.st_uid, (unsigned) st.st_mode & 07777);
	return 0;
}

int trusted_read(
	int dir, const char *name, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err)
{
	/* O_NONBLOCK: a FIFO must not make us wait for its writer. */
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	int r = check_owner(fd, path, S_IFREG, 0, err);
	if (r < 0)
		return r;
	r = io_read_all(fd, max, ret_text, ret_len, err);
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

int trusted_open_dir_of(const char *path, uid_t also, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	int r = check_owner(fd, path, S_IFDIR, also, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int trusted_open_dir(const char *path, int *ret_fd, struct error *err)
{
	return trusted_open_dir_of(path, 0, ret_fd, err);
}
