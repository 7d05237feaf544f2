/* SPDX-License-Identifier: Apache-2.0 */
/*
 *  state    | what happens              | next
 *  ---------+---------------------------+------------------------------------------------
 *  ready    | hook's HOOK_GO            | seize
 *           | hook's end of file        | end, init is untouched
 *  seize    | all of init's threads     | filter; refused at once: end, init is untouched
 *  filter   | mmap, seccomp, munmap     | wait
 *  wait     | hook's end of file        | end, and init with it, unless it has committed
 *           | init's end                | end
 *           | exec by init's leader     | program
 *  program  | new environment, detach   | end
 *
 * From the first seize on whatever fails ends the tracer, and PTRACE_O_EXITKILL then kills init: never half armed.
 */
#include "hook/tracer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/close_range.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hook/program.h"
#include "hook/tracee.h"

#define TRACE_OPTIONS (PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

#define FD_HOOK 3
#define FD_INIT 4
#define FD_FIRST_OTHER 5

#define THREADS_MAX 4096

struct tracer {
	pid_t pid;
	int hook; /* -1 when it has committed */
	int init; /* pidfd */
	const struct arm_request *request;
	size_t n_seized;
	pid_t seized[THREADS_MAX];
};

/* --- the process --- */

/* Descriptors of its own only: whoever waits for the hook's stderr to close must not wait for us. */
static int tracer_keep_fds(int sock, int pidfd, struct error *err)
{
	int a = fcntl(sock, F_DUPFD_CLOEXEC, FD_FIRST_OTHER), b = fcntl(pidfd, F_DUPFD_CLOEXEC, FD_FIRST_OTHER);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (a < 0 || b < 0 || null < 0)
		return error_set(err, errno, "descriptors of the tracer");
	for (int fd = 0; fd < 3; fd++) {
		if (fd != null && dup2(null, fd) < 0)
			return error_set(err, errno, "/dev/null as descriptor %d", fd);
	}
	if (dup2(a, FD_HOOK) < 0 || dup2(b, FD_INIT) < 0)
		return error_set(err, errno, "descriptors of the tracer");
	if (syscall(SYS_close_range, FD_FIRST_OTHER, ~0U, 0) < 0)
		return error_set(err, errno, "close_range");
	return 0;
}

static int tracer_isolate(const struct arm_request *request, int sock, pid_t hook, struct error *err)
{
	/* A hook that dies while we wait for init, and not for it, takes us along. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_set(err, errno, "PR_SET_PDEATHSIG");
	if (getppid() != hook)
		return error_say(err, ESRCH, "the hook has ended");

	(void) setsid();
	(void) !chdir("/");
	(void) prctl(PR_SET_NAME, "oe-tracer");
	(void) prctl(PR_SET_DUMPABLE, 0);
	(void) setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });

	sigset_t mask;
	(void) sigemptyset(&mask);
	(void) sigaddset(&mask, SIGCHLD);
	(void) signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0)
		return error_set(err, errno, "sigprocmask");
	return tracer_keep_fds(sock, request->pidfd, err);
}

static void tracer_say(int sock, enum tracer_says says, const struct error *err)
{
	struct tracer_message message = { .says = says };
	if (err)
		message.error = *err;
	(void) send(sock, &message, sizeof(message), MSG_NOSIGNAL); /* a hook that is gone is noticed by its end */
}

/* --- seize --- */

static void read_line(const char *path, char *buf, size_t size)
{
	buf[0] = '\0';
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (n > 0)
		buf[n] = '\0';
}

/* Somebody who shares a PID namespace with init can have done that. */
static bool is_traced(pid_t pid)
{
	char path[64], status[4096];
	(void) snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
	read_line(path, status, sizeof(status));
	const char *line = strstr(status, "\nTracerPid:\t");
	return line && strtol(line + strlen("\nTracerPid:\t"), NULL, 10) != 0;
}

/* ptrace(2) says EPERM for half a dozen reasons, ptrace(2) "Ptrace access mode checking". */
static int seize_refused(pid_t pid, int errnum, struct error *err)
{
	if (errnum == EPERM && is_traced(pid)) {
		(void) error_say(
			err, errnum, "ptrace of init, process %d: it is being traced by another process", (int) pid);
		return error_close(err);
	}
	char scope[16];
	read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	if (errnum == EPERM && scope[0] == '3')
		return error_set(err, errnum,
			"ptrace of init, process %d: /proc/sys/kernel/yama/ptrace_scope is 3, which forbids it to "
			"everybody",
			(int) pid);
	if (errnum == EPERM)
		return error_set(err, errnum,
			"ptrace of init, process %d (no CAP_SYS_PTRACE over it, or a seccomp profile or a security "
			"module "
			"around the hook)",
			(int) pid);
	return error_set(err, errnum, "ptrace of init, process %d", (int) pid);
}

static bool thread_is_init(const struct tracer *t, pid_t tid)
{
	char path[64];
	(void) snprintf(path, sizeof(path), "/proc/%d/task/%d", (int) t->pid, (int) tid);
	return access(path, F_OK) == 0;
}

/* Threads that a seized one makes are seized by the kernel, by PTRACE_O_TRACECLONE. */
static bool thread_is_ours(const struct tracer *t, pid_t tid)
{
	char path[64], status[4096];
	(void) snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int) t->pid, (int) tid);
	read_line(path, status, sizeof(status));
	const char *line = strstr(status, "\nTracerPid:\t");
	return line && strtol(line + strlen("\nTracerPid:\t"), NULL, 10) == getpid();
}

static bool thread_is_known(const struct tracer *t, pid_t tid)
{
	for (size_t i = 0; i < t->n_seized; i++) {
		if (t->seized[i] == tid)
			return true;
	}
	return false;
}

/* Of a number that has become another process's between reading and seizing it: it must not die with us. */
static void thread_let_go(pid_t tid)
{
	int status;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status))
		(void) ptrace(PTRACE_DETACH, tid, 0, 0);
}

static int seize_thread(struct tracer *t, pid_t tid, struct error *err)
{
	if (t->n_seized == THREADS_MAX)
		return error_say(err, E2BIG, "process %d has more than %d threads", (int) t->pid, THREADS_MAX);
	if (ptrace(PTRACE_SEIZE, tid, 0, (void *) (long) TRACE_OPTIONS) < 0) {
		if (errno == ESRCH || (errno == EPERM && thread_is_ours(t, tid)))
			return 0;
		return error_set(err, errno, "ptrace of thread %d of process %d", (int) tid, (int) t->pid);
	}
	if (!thread_is_init(t, tid)) {
		thread_let_go(tid);
		return 0;
	}
	t->seized[t->n_seized++] = tid;
	return 0;
}

static int seize_threads(struct tracer *t, const char *entries, size_t len, struct error *err)
{
	for (size_t at = 0; at < len;) {
		const struct dirent64 *entry = (const void *) (entries + at);
		at += entry->d_reclen;
		pid_t tid = (pid_t) strtol(entry->d_name, NULL, 10);
		if (tid <= 0 || thread_is_known(t, tid))
			continue;
		int r = seize_thread(t, tid, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One pass over the threads, without opendir(3), which allocates. *ret_new: there was one that no earlier pass had
 * seen. */
static int seize_pass(struct tracer *t, bool *ret_new, struct error *err)
{
	char path[64];
	(void) snprintf(path, sizeof(path), "/proc/%d/task", (int) t->pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, errno, "%s", path);

	size_t before = t->n_seized;
	_Alignas(struct dirent64) char entries[4096];
	ssize_t n;
	while ((n = getdents64(dir, entries, sizeof(entries))) > 0) {
		int r = seize_threads(t, entries, (size_t) n, err);
		if (r < 0)
			return r;
	}
	if (n < 0)
		return error_set(err, errno, "%s", path);
	*ret_new = t->n_seized > before;
	return 0;
}

static bool init_has_ended(const struct tracer *t)
{
	struct pollfd p = { .fd = t->init, .events = POLLIN };
	return poll(&p, 1, 0) != 0;
}

/* err->closed: init was touched. */
static int tracer_seize(struct tracer *t, struct error *err)
{
	if (ptrace(PTRACE_SEIZE, t->pid, 0, (void *) (long) TRACE_OPTIONS) < 0)
		return seize_refused(t->pid, errno, err);
	t->seized[t->n_seized++] = t->pid;

	/* Alive after the seize: then the number is still of the process that the pidfd was opened for. */
	if (init_has_ended(t)) {
		thread_let_go(t->pid);
		return error_say(err, ESRCH, "init, process %d, has ended", (int) t->pid);
	}

	bool new = true;
	while (new) {
		int r = seize_pass(t, &new, err);
		if (r < 0) {
			(void) error_close(err);
			return r;
		}
	}
	return 0;
}

/* --- filter --- */

/* The program as init's kernel wants it, at address: struct sock_fprog, and behind it the instructions. */
static int filter_write(const struct tracer *t, uint64_t address, struct error *err)
{
	const struct sock_fprog *filter = t->request->filter;
	uint64_t instructions = address + sizeof(struct sock_fprog);
	struct sock_fprog head = { .len = filter->len, .filter = (struct sock_filter *) (uintptr_t) instructions };

	int r = tracee_write(t->pid, address, &head, sizeof(head), err);
	if (r == 0)
		r = tracee_write(t->pid, instructions, filter->filter, filter->len * sizeof(struct sock_filter), err);
	return r;
}

static int filter_refused(int64_t result, struct error *err)
{
	if (result > 0)
		return error_say(
			err, EBUSY, "seccomp: thread %lld of init has a filter of its own", (long long) result);
	if (result == -EACCES)
		return error_set(err, EACCES,
			"seccomp: init has neither CAP_SYS_ADMIN in its user namespace nor "
			"no_new_privs");
	return error_set(err, (int) -result, "seccomp of init");
}

static int filter_install(const struct tracer *t, struct tracee *init, uint64_t address, struct error *err)
{
	const uint64_t args[6] = { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, address };
	int64_t result;
	int r = filter_write(t, address, err);
	if (r == 0)
		r = tracee_call(init, SYS_seccomp, args, &result, err);
	if (r < 0)
		return r;
	return result == 0 ? 0 : filter_refused(result, err);
}

static int tracer_filter(const struct tracer *t, struct error *err)
{
	struct tracee init = { .pid = t->pid };
	int r = tracee_park(&init, err);
	if (r < 0)
		return r;

	size_t size = sizeof(struct sock_fprog) + t->request->filter->len * sizeof(struct sock_filter);
	const uint64_t map[6] = { 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t) -1, 0 };
	int64_t address;
	r = tracee_call(&init, SYS_mmap, map, &address, err);
	if (r < 0)
		return r;
	if (address < 0 && address > -4096)
		return error_set(err, (int) -address, "mmap in init");

	/* The page stays until the exec takes it away with all others: unmapping it would be two more stops. */
	r = filter_install(t, &init, (uint64_t) address, err);
	return r < 0 ? r : tracee_release(&init, PTRACE_CONT, err);
}

/* --- wait --- */

/* A ptrace(2) request that a SIGKILL meanwhile makes fail is no news: its end is reported next. */
static void thread_resume(pid_t tid, int request, int sig)
{
	(void) ptrace((enum __ptrace_request) request, tid, 0, (void *) (long) sig);
}

static void thread_stopped(const struct tracer *t, pid_t tid, int status)
{
	int sig = WSTOPSIG(status);
	switch (tracee_status_event(status)) {
	case 0:
		thread_resume(tid, PTRACE_CONT, sig); /* a signal: it is the process's */
		break;
	case PTRACE_EVENT_STOP:
		/* What clone(2) made may be a process; that is not init, and must not die with us. */
		if (tid != t->pid && !thread_is_init(t, tid))
			thread_resume(tid, PTRACE_DETACH, 0);
		else if (sig == SIGTRAP)
			thread_resume(tid, PTRACE_CONT, 0);
		else
			thread_resume(tid, PTRACE_LISTEN, 0); /* a group stop: until SIGCONT, ptrace(2) */
		break;
	case PTRACE_EVENT_EXEC:
		thread_resume(tid, PTRACE_DETACH, 0); /* not init's leader */
		break;
	default:
		thread_resume(tid, PTRACE_CONT, 0);
		break;
	}
}

enum outcome {
	OUTCOME_NONE,
	OUTCOME_EXEC,
	OUTCOME_END,
};

/* All that has happened to init's threads. */
static enum outcome tracer_reap(const struct tracer *t)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return OUTCOME_END; /* nobody left */
		if (tid == 0)
			return OUTCOME_NONE;
		if (tid == t->pid && !WIFSTOPPED(status))
			return OUTCOME_END;
		if (tid == t->pid && tracee_status_event(status) == PTRACE_EVENT_EXEC)
			return OUTCOME_EXEC;
		if (WIFSTOPPED(status))
			thread_stopped(t, tid, status);
	}
}

/* Waits for the hook's word. False: it has ended, or says something else. */
static bool tracer_hear(const struct tracer *t, enum hook_says expected)
{
	enum hook_says says;
	ssize_t n;
	do
		n = recv(t->hook, &says, sizeof(says), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(says) && says == expected;
}

static bool tracer_commit(struct tracer *t)
{
	if (!tracer_hear(t, HOOK_COMMITS) || prctl(PR_SET_PDEATHSIG, 0) < 0)
		return false;
	tracer_say(t->hook, TRACER_COMMITTED, NULL);
	(void) close(t->hook);
	t->hook = -1;
	return true;
}

static int tracer_wait(struct tracer *t, struct error *err)
{
	sigset_t mask;
	(void) sigemptyset(&mask);
	(void) sigaddset(&mask, SIGCHLD);
	_cleanup_close_ int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_set(err, errno, "signalfd");

	for (;;) {
		struct pollfd p[] = { { .fd = signals, .events = POLLIN }, { .fd = t->hook, .events = POLLIN } };
		enum outcome outcome = tracer_reap(t);
		if (outcome == OUTCOME_END)
			return 0;
		if (outcome == OUTCOME_EXEC)
			return program_arm(
				t->pid, TRACE_OPTIONS, t->request->bouquet, t->request->has_seccomp_profile, err);
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_set(err, errno, "poll");

		struct signalfd_siginfo info;
		(void) !read(signals, &info, sizeof(info));
		if (p[1].revents && !tracer_commit(t))
			return error_say(err, ECANCELED, "the hook has ended before it committed");
	}
}

static int tracer_work(struct tracer *t, struct error *err)
{
	tracer_say(t->hook, TRACER_SEIZES, NULL);
	int r = tracer_seize(t, err);
	if (r < 0)
		return r;
	r = tracer_filter(t, err);
	if (r == 0) {
		tracer_say(t->hook, TRACER_ARMED, NULL);
		r = tracer_wait(t, err);
	}
	if (r < 0)
		(void) error_close(err);
	return r;
}

_Noreturn void tracer_run(const struct arm_request *request, int sock, pid_t hook)
{
	struct tracer tracer; /* large, and most of it never used: no initialiser, which would touch all its pages */
	struct error err = { 0 };

	int r = tracer_isolate(request, sock, hook, &err);
	if (r < 0) {
		tracer_say(sock, TRACER_FAILED, &err);
		_exit(1);
	}
	tracer.pid = request->pid;
	tracer.hook = FD_HOOK;
	tracer.init = FD_INIT;
	tracer.request = request;
	tracer.n_seized = 0;
	if (!tracer_hear(&tracer, HOOK_GO))
		_exit(0);

	r = tracer_work(&tracer, &err);
	if (r == 0)
		_exit(0);
	if (tracer.hook >= 0)
		tracer_say(tracer.hook, TRACER_FAILED, &err);
	else {
		closelog(); /* of the hook's, whose descriptor's number is another's here */
		log_error("container's init, process %d, is killed: %s", (int) request->pid, err.msg);
	}
	_exit(1);
}
