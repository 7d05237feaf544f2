/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/spawn.h"

static bool absent[KEEPER_FD_END];

static bool may_be_absent(int fd)
{
	return fd == KEEPER_FD_LISTENER || fd == KEEPER_FD_RESOLV_CONF || fd == KEEPER_FD_HOSTS || fd == KEEPER_FD_HOME ||
	       fd == KEEPER_FD_COMPILER;
}

int inherited_take(struct error *err)
{
	for (int fd = SPAWN_FD_FIRST; fd < KEEPER_FD_END; fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
			continue;
		if (!may_be_absent(fd))
			return error_say(err, EBADF, "descriptor %d is missing", fd);
		/* The lowest free number, open(2): all below are taken by now. */
		if (open("/dev/null", O_PATH | O_CLOEXEC) != fd)
			return error_say(err, EBADF, "descriptors 0 to %d are not as spawn() leaves them", fd);
		absent[fd] = true;
	}
	return 0;
}

int inherited_fd(enum keeper_fd fd)
{
	return absent[fd] ? -1 : (int) fd;
}

int inherited_put(enum keeper_fd fd, int from)
{
	if (dup3(from, (int) fd, O_CLOEXEC) < 0)
		return -errno;
	absent[fd] = false;
	return 0;
}

void inherited_drop(enum keeper_fd fd)
{
	int null = open("/dev/null", O_PATH | O_CLOEXEC);
	if (null < 0 || dup3(null, (int) fd, O_CLOEXEC) < 0)
		(void) close((int) fd);
	if (null >= 0)
		(void) close(null);
	absent[fd] = true;
}
