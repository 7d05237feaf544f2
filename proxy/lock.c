/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/control.h"

int lock_try(int dir, const char *key, int *ret_fd, struct error *err)
{
	char name[CONTROL_KEY_MAX + sizeof(".lock")];
	(void) snprintf(name, sizeof(name), "%s.lock", key);

	_cleanup_close_ int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "open %s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : error_set(err, errno, "lock %s", name);

	struct stat locked, named;
	if (fstat(fd, &locked) < 0)
		return error_set(err, errno, "stat %s", name);
	if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0 || named.st_dev != locked.st_dev ||
		named.st_ino != locked.st_ino)
		return -EAGAIN;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
