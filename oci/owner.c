/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/cleanup.h"
#include "base/idmap.h"

bool owner_trusted(uid_t uid)
{
	struct stat root;
	struct idmap map;
	uint32_t outer;
	if (uid == 0 || uid == geteuid())
		return true;
	return stat("/", &root) == 0 && root.st_uid == uid && idmap_read("/proc/self/uid_map", &map, NULL) == 0 &&
	       idmap_outer(&map, 0, &outer) && outer != 0;
}

int owner_check(const struct stat *st, const char *what, struct error *err)
{
	if (!owner_trusted(st->st_uid))
		return error_say(err, EPERM, "%s: owned by user %u, expected root", what, st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return error_say(err, EPERM, "%s: mode %04o, expected one that only its owner can write (go-w)", what,
			st->st_mode & 07777);
	return 0;
}

int owner_open(int dir, const char *leaf, const char *file, int *ret_fd, struct error *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, /* a FIFO without a writer must not hold us */
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	_cleanup_close_ int fd = (int) syscall(SYS_openat2, dir, leaf, &how, sizeof(how));
	if (fd < 0 && errno == ELOOP)
		return error_say(err, ELOOP, "%s: a symbolic link, expected a regular file", file);
	if (fd < 0)
		return error_set(err, errno, "%s", file);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", file);
	if (!S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "%s: expected a regular file", file);
	int r = owner_check(&st, file, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
