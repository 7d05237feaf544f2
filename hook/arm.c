/* SPDX-License-Identifier: Apache-2.0 */
/* The hook's side of arming; the tracer's is tracer.c. */
#include "hook/arm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/tracer.h"

#define COMMIT_TIMEOUT_MS 5000

static int64_t now_ms(void)
{
	struct timespec t;
	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The tracer's next message. -ETIMEDOUT, or -EPIPE when it has ended. */
static int arm_hear(int sock, int64_t deadline, struct tracer_message *ret, struct error *err)
{
	for (;;) {
		int64_t left = deadline - now_ms();
		struct pollfd p = { .fd = sock, .events = POLLIN };
		int r = poll(&p, 1, left > 0 ? (int) left : 0);
		if (r < 0 && errno != EINTR)
			return error_set(err, errno, "poll");
		if (r == 0)
			return error_say(err, ETIMEDOUT, "the tracer does not answer");
		if (r < 0)
			continue;

		ssize_t n = recv(sock, ret, sizeof(*ret), MSG_DONTWAIT);
		if (n == (ssize_t) sizeof(*ret))
			return 0;
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		return error_say(err, EPIPE, "the tracer has ended");
	}
}

/* Until the filter is in. err->closed as the tracer says, or once it was about to seize. */
static int arm_await(int sock, int timeout_ms, struct error *err)
{
	int64_t deadline = now_ms() + timeout_ms;
	bool seizes = false;
	for (;;) {
		struct tracer_message message;
		int r = arm_hear(sock, deadline, &message, err);
		if (r < 0) {
			if (seizes && err)
				(void) error_close(err);
			return r;
		}
		switch (message.says) {
		case TRACER_SEIZES:
			seizes = true;
			break;
		case TRACER_ARMED:
			return 0;
		default:
			if (err)
				*err = message.error;
			return message.error.code < 0 ? message.error.code : -EPROTO;
		}
	}
}

/* A tracer that is gone has taken init along: the kernel does that before its parent can wait for it. */
static void arm_end_tracer(pid_t tracer)
{
	(void) kill(tracer, SIGKILL);
	while (waitpid(tracer, NULL, 0) < 0 && errno == EINTR)
		;
}

int arm_start(const struct arm_request *request, struct arm *ret, struct error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int its = pair[1];

	pid_t hook = getpid(), tracer = fork();
	if (tracer < 0)
		return error_set(err, errno, "fork");
	if (tracer == 0)
		tracer_run(request, its, hook);
	close(TAKE_FD(its));

	int r = arm_await(ours, request->timeout_ms, err);
	if (r < 0) {
		arm_end_tracer(tracer);
		return r;
	}
	*ret = (struct arm){ .tracer = tracer, .pipe = TAKE_FD(ours) };
	return 0;
}

int arm_commit(struct arm *arm, struct error *err)
{
	_cleanup_close_ int sock = TAKE_FD(arm->pipe);
	struct tracer_message message;
	int r = 0;
	if (send(sock, "c", 1, MSG_NOSIGNAL) != 1)
		r = error_set(err, errno, "the tracer has ended");
	if (r == 0)
		r = arm_hear(sock, now_ms() + COMMIT_TIMEOUT_MS, &message, err);
	if (r == 0 && message.says == TRACER_COMMITTED)
		return 0;

	if (r == 0) {
		if (err)
			*err = message.error;
		r = message.error.code < 0 ? message.error.code : -EPROTO;
	}
	arm_end_tracer(arm->tracer);
	if (err)
		(void) error_close(err);
	return r;
}

void arm_abort(struct arm *arm)
{
	cleanup_close(&arm->pipe);
	arm->pipe = -1;
	arm_end_tracer(arm->tracer);
}
