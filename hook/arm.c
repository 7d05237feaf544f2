/* SPDX-License-Identifier: Apache-2.0 */
/* The hook's side of arming; the tracer's is tracer.c. */
#include "hook/arm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "hook/beside.h"
#include "hook/tracer.h"

#define COMMIT_TIMEOUT_MS 5000

/* The tracer's next message. -ETIMEDOUT, or -EPIPE when it has ended. */
static int arm_hear(int sock, int64_t deadline, struct tracer_message *ret, struct error *err)
{
	for (;;) {
		int64_t left = deadline - clock_now_ms();
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
	int64_t deadline = clock_now_ms() + timeout_ms;
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

/* One that has seized init takes it along: the kernel does that before its parent can wait for it. */
void arm_abort(struct arm *arm)
{
	if (arm->pipe < 0)
		return;
	cleanup_close(&arm->pipe);
	(void) kill(arm->tracer, SIGKILL);
	while (waitpid(arm->tracer, NULL, 0) < 0 && errno == EINTR)
		;
	*arm = ARM_NONE;
}

struct job {
	struct arm_request request;
	struct bouquet bouquet;
	int sock;
	pid_t hook;
};

static void trace(void *arg)
{
	const struct job *job = arg;
	tracer_run(&job->request, job->sock, job->hook);
}

int arm_prepare(const struct arm_request *request, struct arm *ret, struct error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int its = pair[1];

	struct job *job = malloc(sizeof(*job));
	if (!job)
		return error_set(err, ENOMEM, "tracer");
	*job = (struct job){ .request = *request, .bouquet = *request->bouquet, .sock = its, .hook = getpid() };
	job->request.bouquet = &job->bouquet;

	pid_t tracer;
	int r = beside_start(trace, job, &tracer, err);
	if (r < 0)
		return error_wrap(err, "tracer");
	*ret = (struct arm){ .tracer = tracer, .pipe = TAKE_FD(ours) };
	return 0;
}

static int arm_tell(const struct arm *arm, enum hook_says says, struct error *err)
{
	if (send(arm->pipe, &says, sizeof(says), MSG_NOSIGNAL) != sizeof(says))
		return error_set(err, errno, "the tracer has ended");
	return 0;
}

int arm_start(struct arm *arm, int timeout_ms, struct error *err)
{
	int r = arm_tell(arm, HOOK_GO, err);
	if (r == 0)
		r = arm_await(arm->pipe, timeout_ms, err);
	if (r < 0)
		arm_abort(arm);
	return r;
}

int arm_commit(struct arm *arm, struct error *err)
{
	struct tracer_message message;
	int r = arm_tell(arm, HOOK_COMMITS, err);
	if (r == 0)
		r = arm_hear(arm->pipe, clock_now_ms() + COMMIT_TIMEOUT_MS, &message, err);
	if (r == 0 && message.says == TRACER_COMMITTED) {
		close(arm->pipe);
		arm->pipe = -1;
		return 0;
	}

	if (r == 0) {
		if (err)
			*err = message.error;
		r = message.error.code < 0 ? message.error.code : -EPROTO;
	}
	arm_abort(arm);
	if (err)
		(void) error_close(err);
	return r;
}
