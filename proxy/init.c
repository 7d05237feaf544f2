/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "oci/image.h"
#include "oci/imagefile.h"
#include "proxy/privilege.h"
#include "proxy/user.h"

#define HOST "127.0.0.1"
#define ARGUMENTS_BYTES_MAX (128 << 10)

static int become(const struct user *user, struct error *err)
{
	if (setgroups(user->n_groups, user->groups) < 0)
		return error_set(err, errno, "setgroups");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return error_set(err, errno, "setresgid %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return error_set(err, errno, "setresuid %u", user->uid);
	return privilege_keep(0, err);
}

/*
 * A change of credentials clears PDEATHSIG, prctl(2). Who ended before that is told by the pipe: getppid(2) is 0 in a
 * PID namespace of its own, whoever the parent is.
 */
static int tie_to_keeper(struct error *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(err, errno, "PDEATHSIG");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "not dumpable");
	struct pollfd life = { .fd = INIT_FD_LIFE, .events = POLLIN };
	if (poll(&life, 1, 0) != 0)
		return error_say(err, ESRCH, "the keeper has ended");
	return 0;
}

/* Argument with {host} and {port} put in. */
static void expand(struct text *text, const char *argument, const char *port)
{
	while (*argument) {
		if (strncmp(argument, "{host}", 6) == 0) {
			text_add(text, "%s", HOST);
			argument += 6;
		} else if (strncmp(argument, "{port}", 6) == 0) {
			text_add(text, "%s", port);
			argument += 6;
		} else {
			text_add(text, "%c", *argument++);
		}
	}
}

/* *ret and what it points to stay until exec or exit. */
static int make_arguments(const struct image *image, const char *port, char ***ret, struct error *err)
{
	uint32_t n = image->external.argv.count;
	const struct image_text *arguments = image_records(image, image->external.argv);
	char **argv = calloc((size_t) n + 1, sizeof(*argv));
	char *buf = malloc(ARGUMENTS_BYTES_MAX);
	if (!argv || !buf || n == 0) {
		free(argv);
		free(buf);
		return error_say(err, ENOMEM, "arguments");
	}
	size_t used = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (used >= ARGUMENTS_BYTES_MAX)
			return error_say(
				err, E2BIG, "the command's arguments take more than %d bytes", ARGUMENTS_BYTES_MAX);
		struct text text = text_init(buf + used, ARGUMENTS_BYTES_MAX - used);
		expand(&text, image_string(image, arguments[i]), port);
		if (text.cut)
			return error_say(
				err, E2BIG, "the command's arguments take more than %d bytes", ARGUMENTS_BYTES_MAX);
		argv[i] = text.buf;
		used += text.len + 1;
	}
	*ret = argv;
	return 0;
}

struct environment {
	char home[PATH_MAX + 8];
	char user[USER_NAME_MAX + 8];
	char logname[USER_NAME_MAX + 12];
	char port[40];
	char *v[8];
};

static void make_environment(const struct user *user, const char *port, struct environment *ret)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char host[] = "OCI_EGRESS_PROXY_HOST=" HOST;

	char home[PATH_MAX] = "/nonexistent";
	if (fcntl(INIT_FD_HOME, F_GETFD) >= 0 && fchdir(INIT_FD_HOME) == 0 && !getcwd(home, sizeof(home)))
		(void) snprintf(home, sizeof(home), "/nonexistent");
	(void) snprintf(ret->home, sizeof(ret->home), "HOME=%s", home);
	(void) snprintf(ret->user, sizeof(ret->user), "USER=%s", user->name);
	(void) snprintf(ret->logname, sizeof(ret->logname), "LOGNAME=%s", user->name);
	(void) snprintf(ret->port, sizeof(ret->port), "OCI_EGRESS_PROXY_PORT=%s", port);

	char *const v[] = { path, host, ret->home, ret->user, ret->logname, ret->port, NULL };
	memcpy(ret->v, v, sizeof(v));
}

static void __attribute__((noreturn)) run(char **argv, char **envp, const sigset_t *mask)
{
	(void) sigprocmask(SIG_SETMASK, mask, NULL);
	(void) close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void) setsid();
	(void) execve(argv[0], argv, envp);
	_exit(errno == ENOENT ? INIT_NOT_FOUND : INIT_CANNOT_EXEC);
}

/* Reaps all that have ended. True when none is left; *status is the command's. */
static bool reap(pid_t command, int *status)
{
	for (;;) {
		int one;
		pid_t pid = waitpid(-1, &one, WNOHANG);
		if (pid == command)
			*status = one;
		if (pid <= 0)
			return pid < 0 && errno == ECHILD;
	}
}

/* SIGTERM to all but ourselves, kill(2), as often as it comes. */
static int attend(pid_t command, const sigset_t *signals)
{
	int status = 0;
	for (;;) {
		int sig = sigwaitinfo(signals, NULL);
		if (sig == SIGTERM)
			(void) kill(-1, SIGTERM);
		if (reap(command, &status))
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

static int start(const char *port, pid_t *ret_command, sigset_t *ret_signals, struct error *err)
{
	size_t len;
	const struct image *image;
	int r = imagefile_map(INIT_FD_IMAGE, &image, &len, err);
	if (r < 0)
		return r;

	struct user user;
	r = user_find(image_string(image, image->external.user), &user, err);
	if (r == 0)
		r = become(&user, err);
	if (r == 0)
		r = tie_to_keeper(err);
	if (r < 0)
		return r;

	char **argv = NULL;
	r = make_arguments(image, port, &argv, err);
	if (r < 0)
		return r;
	static struct environment environment;
	make_environment(&user, port, &environment);

	sigset_t before;
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGCHLD);
	(void) sigprocmask(SIG_BLOCK, ret_signals, &before);
	pid_t pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		run(argv, environment.v, &before);
	*ret_command = pid;
	return 0;
}

int init_main(int argc, char **argv)
{
	pid_t command = 0;
	sigset_t signals;
	struct error err;
	log_open("oci-egress-init");
	if (argc != 1)
		return INIT_FAILED;
	if (start(argv[0], &command, &signals, &err) < 0) {
		log_error("external proxy: %s", err.msg);
		return INIT_FAILED;
	}
	return attend(command, &signals);
}
