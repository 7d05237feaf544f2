/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/handle.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static bool handle_wait(const struct handle *handle, int64_t timeout_ms)
{
	int64_t end = clock_now_ms() + timeout_ms;
	for (;;) {
		int64_t left = end - clock_now_ms();
		struct pollfd pfd = { .fd = handle->pidfd, .events = POLLIN };
		int n = poll(&pfd, 1, left > 0 ? (int) left : 0);
		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

bool handle_ended(const struct handle *handle)
{
	return handle->pidfd >= 0 && handle_wait(handle, 0);
}

int handle_reap(struct handle *handle)
{
	int status = 0;
	pid_t r;
	do
		r = waitpid(handle->pid, &status, 0);
	while (r < 0 && errno == EINTR);
	close(handle->pidfd);
	handle->pid = 0;
	handle->pidfd = -1;
	return r < 0 ? 0 : status;
}

static void handle_signal(const struct handle *handle, int sig)
{
	(void) syscall(SYS_pidfd_send_signal, handle->pidfd, sig, NULL, 0);
}

void handle_stop(struct handle *handle)
{
	if (handle->pidfd < 0)
		return;
	handle_signal(handle, handle->stop_signal);
	if (handle->stop_signal != SIGKILL && !handle_wait(handle, handle->stop_timeout_ms))
		handle_signal(handle, SIGKILL);
	(void) handle_reap(handle);
}
