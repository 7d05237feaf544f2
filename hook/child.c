/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "hook/process.h"

static void close_one(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

struct pipes {
	int in[2], out[2], err[2];
};

static void close_pair(int pair[2])
{
	cleanup_close(&pair[0]);
	cleanup_close(&pair[1]);
}

static int open_pipes(struct pipes *pipes, struct error *err)
{
	*pipes = (struct pipes){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(pipes->in, O_CLOEXEC) == 0 && pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0)
		return 0;
	int r = error_set(err, errno, "pipe");
	close_pair(pipes->in);
	close_pair(pipes->out);
	close_pair(pipes->err);
	return r;
}

static int launch(const char *const argv[], const struct pipes *pipes, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGINT);
	sigaddset(&defaults, SIGTERM);
	(void) posix_spawn_file_actions_init(&actions);
	(void) posix_spawnattr_init(&attributes);
	int r = posix_spawn_file_actions_adddup2(&actions, pipes->in[0], STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, pipes->out[1], STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, pipes->err[1], STDERR_FILENO);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attributes, &defaults);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *) (uintptr_t) argv, environ);
	(void) posix_spawn_file_actions_destroy(&actions);
	(void) posix_spawnattr_destroy(&attributes);
	return r;
}

int child_start(const char *const argv[], struct child *ret, struct error *err)
{
	struct pipes pipes;
	*ret = (struct child){ .pidfd = -1, .in = -1, .out = -1, .err = -1 };
	int r = open_pipes(&pipes, err);
	if (r < 0)
		return r;
	r = launch(argv, &pipes, &ret->pid);
	close(pipes.in[0]);
	close(pipes.out[1]);
	close(pipes.err[1]);
	ret->in = pipes.in[1];
	ret->out = pipes.out[0];
	ret->err = pipes.err[0];
	if (r != 0)
		r = error_set(err, r, "%s", argv[0]);
	else
		r = process_open(ret->pid, &ret->pidfd, err);
	if (r < 0) {
		ret->ended = ret->pid <= 0;
		(void) child_end(ret, 0);
	}
	return r;
}

/* False: nothing more will come. */
static bool take(int fd, char *text, size_t *len)
{
	char rest[4096];
	size_t room = CHILD_TEXT_MAX - 1 - *len;
	ssize_t n = room > 0 ? read(fd, text + *len, room) : read(fd, rest, sizeof(rest));
	if (n > 0 && room > 0) {
		*len += (size_t) n;
		text[*len] = '\0';
	}
	return n > 0 || (n < 0 && errno == EINTR);
}

static void reap(struct child *child)
{
	while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
		;
	child->ended = true;
}

/* Whoever the process has started may hold its pipes: what counts is its own end, and what is in them then. */
static bool is_over(const struct pollfd fds[3])
{
	return (fds[2].revents & POLLIN) && !(fds[0].revents & POLLIN) && !(fds[1].revents & POLLIN);
}

int child_read(struct child *child, const char *until, int timeout_ms, struct error *err)
{
	int64_t deadline = clock_now_ms() + timeout_ms;
	for (;;) {
		if (until && strstr(child->out_text, until))
			return 0;
		struct pollfd fds[] = { { .fd = child->out, .events = POLLIN }, { .fd = child->err, .events = POLLIN },
			{ .fd = child->pidfd, .events = POLLIN } };
		int64_t left = deadline - clock_now_ms();
		int n = left > 0 ? poll(fds, ARRAY_SIZE(fds), (int) left) : 0;
		if (n < 0)
			return error_set(err, errno, "poll");
		if (n == 0)
			return error_set(err, ETIMEDOUT, "no end within %d s", timeout_ms / 1000);
		if ((fds[0].revents & POLLIN) && !take(child->out, child->out_text, &child->out_len))
			return error_set(err, EIO, "pipe");
		if ((fds[1].revents & POLLIN) && !take(child->err, child->err_text, &child->err_len))
			return error_set(err, EIO, "pipe");
		if (!(fds[0].revents & POLLIN) && (fds[0].revents & (POLLHUP | POLLERR)))
			close_one(&child->out);
		if (!(fds[1].revents & POLLIN) && (fds[1].revents & (POLLHUP | POLLERR)))
			close_one(&child->err);
		if (is_over(fds)) {
			reap(child);
			return 1;
		}
	}
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_end(struct child *child, int timeout_ms)
{
	close_one(&child->in);
	if (!child->ended && child_read(child, NULL, timeout_ms, NULL) != 1) {
		(void) kill(child->pid, SIGKILL);
		reap(child);
	}
	close_one(&child->out);
	close_one(&child->err);
	close_one(&child->pidfd);
	return exit_status(child->status);
}

int child_run(const char *const argv[], const char *input, int timeout_ms, struct child *ret, struct error *err)
{
	int r = child_start(argv, ret, err);
	if (r < 0)
		return r;
	/* A pipe holds it whole; a program that does not read it says more by its exit status than EPIPE would. */
	size_t len = input ? strlen(input) : 0;
	(void) !(len > 0 && write(ret->in, input, len));
	close_one(&ret->in);
	r = child_read(ret, NULL, timeout_ms, err);
	int status = child_end(ret, 0);
	return r < 0 ? error_wrap(err, "%s", argv[0]) : status;
}

const char *child_complaint(struct child *child)
{
	char *end = child->err_text + child->err_len;
	while (end > child->err_text && (end[-1] == '\n' || end[-1] == ' '))
		*--end = '\0';
	const char *line = strrchr(child->err_text, '\n');
	return line ? line + 1 : child->err_text;
}

struct verdict {
	int result;
	struct error err;
};

static void try_and_exit(int (*fn)(void *arg, struct error *err), void *arg, int fd)
{
	struct verdict verdict = { 0 };
	verdict.result = fn(arg, &verdict.err);
	(void) !write(fd, &verdict, sizeof(verdict));
	_exit(0);
}

int child_try(int (*fn)(void *arg, struct error *err), void *arg, int timeout_ms, struct error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	(void) fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		try_and_exit(fn, arg, fds[1]);
	close(fds[1]);
	_cleanup_close_ int fd = fds[0];
	if (pid < 0)
		return error_set(err, errno, "fork");

	struct verdict verdict;
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	int n = poll(&poller, 1, timeout_ms);
	ssize_t got = n > 0 ? read(fd, &verdict, sizeof(verdict)) : 0;
	(void) kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t) sizeof(verdict))
		return n == 0 ? error_set(err, ETIMEDOUT, "no answer within %d s", timeout_ms / 1000)
			      : error_say(err, EIO, "the process that tried was killed");
	if (err)
		*err = verdict.err;
	return verdict.result;
}
