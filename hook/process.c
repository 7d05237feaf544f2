/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

int process_open(pid_t pid, int *ret_pidfd, struct error *err)
{
	int fd = (int) syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return error_set(err, errno, "process %d", (int) pid);
	*ret_pidfd = fd;
	return 0;
}

bool process_alive(int pidfd)
{
	return !process_wait(pidfd, 0);
}

bool process_wait(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;
	do
		r = poll(&p, 1, timeout_ms); /* readable when it has ended, pidfd_open(2) */
	while (r < 0 && errno == EINTR);
	return r > 0;
}

/* The command's name, field 2, is the process's own text: what follows its last ')' is not. */
int process_start_time(pid_t pid, uint64_t *ret, struct error *err)
{
	char path[64], text[1024];
	(void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return error_set(err, n < 0 ? errno : EIO, "%s", path);
	text[n] = '\0';

	const char *p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return error_say(err, EIO, "%s: no process name", path);
	for (int field = 2; field < 22; field++) {
		p = strchr(p + 1, ' ');
		if (!p)
			return error_say(err, EIO, "%s: too short", path);
	}
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

bool process_same(pid_t pid, uint64_t start_time)
{
	_cleanup_close_ int pidfd = -1;
	uint64_t now;
	return process_open(pid, &pidfd, NULL) == 0 && process_start_time(pid, &now, NULL) == 0 && now == start_time &&
	       process_alive(pidfd);
}
