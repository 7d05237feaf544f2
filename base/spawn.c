/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"

/*
 * What the child runs until its exec, in its parent's memory: it never returns from these, and would leave them marked
 * as in use for AddressSanitizer.
 */
#define IN_CHILD __attribute__((no_sanitize("address")))

IN_CHILD static void reset_signals(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		(void) signal(sig, SIG_DFL); /* fails for SIGKILL, SIGSTOP and those that libc keeps */

	sigset_t none;
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

IN_CHILD static void reset_scheduling(void)
{
	struct sched_param param = { 0 };
	(void) sched_setscheduler(0, SCHED_OTHER, &param);
	(void) setpriority(PRIO_PROCESS, 0, 0);

	cpu_set_t all;
	memset(&all, 0xff, sizeof(all)); /* the kernel takes the part that the cpuset allows */
	(void) sched_setaffinity(0, sizeof(all), &all);
}

IN_CHILD static void reset_oom_score(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void) !write(
			fd, "0", 1); /* lowering wants CAP_SYS_RESOURCE; what a rootless runtime gave then stays */
}

/* Soft limits as the kernel's first process has them, as far as the hard ones allow; above it where somebody has raised
 * the number of descriptors. */
IN_CHILD static void reset_limits(void)
{
	static const struct {
		__rlimit_resource_t resource;
		rlim_t soft;
	} limits[] = {
		{ RLIMIT_CPU, RLIM_INFINITY },
		{ RLIMIT_FSIZE, RLIM_INFINITY },
		{ RLIMIT_DATA, RLIM_INFINITY },
		{ RLIMIT_AS, RLIM_INFINITY },
		{ RLIMIT_STACK, 8u << 20 },
		{ RLIMIT_NOFILE, 1024 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit;
		if (getrlimit(limits[i].resource, &limit) < 0)
			continue;
		rlim_t soft = limits[i].soft < limit.rlim_max ? limits[i].soft : limit.rlim_max;
		if (limits[i].resource == RLIMIT_NOFILE && limit.rlim_cur > soft)
			continue;
		limit.rlim_cur = soft;
		(void) setrlimit(limits[i].resource, &limit);
	}
	(void) setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

IN_CHILD void spawn_reset_inherited(void)
{
	reset_signals();
	reset_scheduling();
	reset_oom_score();
	(void) umask(077);
	(void) !chdir("/");
	(void) personality(PER_LINUX);
	(void) setgroups(0, NULL); /* a user namespace may forbid it, user_namespaces(7) */
	reset_limits();
}

#define ABOVE (SPAWN_FD_FIRST + SPAWN_FDS_MAX + 1)

/* Out of the way, so that no number is overwritten before it is read. */
IN_CHILD static int lift_fds(const int *fds, size_t n_fds, int *ret_high)
{
	for (size_t i = 0; i < n_fds; i++) {
		ret_high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, ABOVE);
		if (fds[i] >= 0 && ret_high[i] < 0)
			return -errno;
	}
	return 0;
}

IN_CHILD static int null_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (int fd = 0; fd < SPAWN_FD_FIRST; fd++)
		if (dup3(null, fd, 0) < 0 && null != fd)
			return -errno;
	return null < SPAWN_FD_FIRST && fcntl(null, F_SETFD, 0) < 0 ? -errno : 0;
}

/* Puts fds at first.. All others, but 0 to 2, close with the exec; at once where there is none. */
IN_CHILD static int place_fds(int first, const int *fds, size_t n_fds, bool exec)
{
	int high[SPAWN_FDS_MAX];
	int r = lift_fds(fds, n_fds, high);
	if (r == 0)
		r = null_stdio();
	if (r < 0)
		return r;

	if (close_range(SPAWN_FD_FIRST, exec ? ~0U : ABOVE - 1, exec ? CLOSE_RANGE_CLOEXEC : 0) < 0)
		return -errno;
	for (size_t i = 0; i < n_fds; i++)
		if (high[i] >= 0 && dup3(high[i], first + (int) i, 0) < 0)
			return -errno;
	return exec || close_range(ABOVE, ~0U, 0) == 0 ? 0 : -errno;
}

struct start {
	int exe;
	const char *const *argv;
	int first; /* the number that fds begin at */
	const int *fds;
	size_t n_fds;
	int flags;   /* more of them, for clone(2) */
	int failure; /* -errno, written by the child into our memory */
};

IN_CHILD static int child(void *arg)
{
	static const char *const no_environment[] = { NULL };
	struct start *start = arg;

	(void) setsid();
	spawn_reset_inherited();
	start->exe = fcntl(start->exe, F_DUPFD_CLOEXEC, ABOVE);
	start->failure = start->exe < 0 ? -errno : place_fds(start->first, start->fds, start->n_fds, true);
	if (start->failure == 0) {
		(void) syscall(SYS_execveat, start->exe, "", start->argv, no_environment, AT_EMPTY_PATH);
		start->failure = -errno;
	}
	_exit(127);
}

/*
 * As vfork(2): we wait, and lend the child our memory, until it has executed the program or ended. Copying an address
 * space only to throw it away takes longer than all the rest.
 */
static pid_t clone_child(struct start *start)
{
	_Alignas(16) char stack[64 * 1024];
	sigset_t all, before;
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before); /* no handler of ours may run in the child */
	pid_t pid = clone(child, stack + sizeof(stack), start->flags | CLONE_VM | CLONE_VFORK | SIGCHLD, start);
	int failure = errno;
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	errno = failure;
	return pid;
}

/* failure: -errno, why the child has not become what it was to be. */
static int take_child(pid_t pid, int failure, const char *name, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	_cleanup_close_ int pidfd = -1;
	if (failure == 0 && ret_pidfd) {
		pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0)
			failure = -errno;
	}
	if (failure != 0) {
		(void) kill(pid, SIGKILL);
		(void) waitpid(pid, NULL, 0);
		return error_set(err, -failure, "start %s", name);
	}
	*ret_pid = pid;
	if (ret_pidfd)
		*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

static int run_start(struct start *start, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	pid_t pid = clone_child(start);
	if (pid < 0)
		return error_set(err, errno, "start %s", start->argv[0]);
	return take_child(pid, start->failure, start->argv[0], ret_pid, ret_pidfd, err);
}

static int spawn_with(int flags, int exe, const char *const argv[], const int *fds, size_t n_fds, pid_t *ret_pid,
	int *ret_pidfd, struct error *err)
{
	if (n_fds > SPAWN_FDS_MAX)
		return error_say(err, EINVAL, "spawn: %zu descriptors, at most %d", n_fds, SPAWN_FDS_MAX);

	struct start start = {
		.exe = exe, .argv = argv, .first = SPAWN_FD_FIRST, .fds = fds, .n_fds = n_fds, .flags = flags
	};
	return run_start(&start, ret_pid, ret_pidfd, err);
}

int spawn(int exe, const char *const argv[], const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err)
{
	return spawn_with(0, exe, argv, fds, n_fds, ret_pid, ret_pidfd, err);
}

int spawn_init(int exe, const char *const argv[], const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err)
{
	return spawn_with(CLONE_NEWPID, exe, argv, fds, n_fds, ret_pid, ret_pidfd, err);
}

int spawn_stdio(
	int exe, const char *const argv[], const int stdio[3], pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	struct start start = { .exe = exe, .argv = argv, .first = STDIN_FILENO, .fds = stdio, .n_fds = SPAWN_FD_FIRST };
	return run_start(&start, ret_pid, ret_pidfd, err);
}

_Noreturn static void copy(int (*run)(void *arg), void *arg, const int *fds, size_t n_fds)
{
	memory_populate_code(); /* a copy has none of its pages yet, fork(2) */
	closelog();             /* syslog(3) would go on writing to a number that is another descriptor by then */
	(void) setsid();
	spawn_reset_inherited();
	_exit(place_fds(SPAWN_FD_FIRST, fds, n_fds, false) < 0 ? 127 : run(arg));
}

int spawn_copy(int (*run)(void *arg), void *arg, const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err)
{
	if (n_fds > SPAWN_FDS_MAX)
		return error_say(err, EINVAL, "spawn: %zu descriptors, at most %d", n_fds, SPAWN_FDS_MAX);

	pid_t pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		copy(run, arg, fds, n_fds);
	return take_child(pid, 0, "a copy", ret_pid, ret_pidfd, err);
}
