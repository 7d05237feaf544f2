/* SPDX-License-Identifier: Apache-2.0 */
/* Arming against a real init: a child that waits in read(2), as the runtimes' do, and then becomes a program. */
#include "hook/arm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/seccomp.h"
#include "report.h"

static struct sock_fprog filter;
static struct bouquet bouquet;
static char *bare_program, *bare32_program, *full_program, *script, *setuid_program;

/* --- an init --- */

struct plan {
	char **argv, **env;
	const char *program;
	int threads;
	uid_t uid;            /* becomes it before the exec */
	bool profile;         /* installs a seccomp filter that kills for prctl(2) and ptrace(2), before the exec */
	bool no_capabilities; /* has none from the start */
	int catches;          /* a signal that it answers with one byte on its output, while it waits */
};

struct init {
	pid_t pid;
	int pidfd, go, output;
};

static int init_output;

static void *thread_main(void *arg)
{
	for (;;)
		(void) pause();
	return arg;
}

static void answer(int sig)
{
	(void) sig;
	(void) !write(init_output, "!", 1);
}

static void install_profile(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { ARRAY_SIZE(f), f };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) < 0)
		_exit(101);
}

_Noreturn static void init_main(const struct plan *plan, int ready, int go, int output)
{
	char byte;
	init_output = output;
	if (plan->no_capabilities) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { 0 };
		if (syscall(SYS_capset, &head, none) < 0)
			_exit(102);
	}
	for (int i = 0; i < plan->threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, thread_main, NULL) != 0)
			_exit(103);
	}
	if (plan->catches)
		(void) signal(plan->catches, answer);
	if (write(ready, "r", 1) != 1)
		_exit(104);

	if (read(go, &byte, 1) != 1)
		_exit(105);
	if (dup2(output, STDOUT_FILENO) < 0 || (plan->profile && (install_profile(), false)))
		_exit(106);
	if (plan->uid && setresuid(plan->uid, plan->uid, plan->uid) < 0)
		_exit(107);
	(void) execve(plan->program, plan->argv, plan->env);
	_exit(108);
}

static struct init init_start(const struct plan *plan)
{
	int ready[2], go[2], output[2];
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(go[1]); /* else it would keep itself waiting */
		init_main(plan, ready[1], go[0], output[1]);
	}
	close(ready[1]);
	close(go[0]);
	close(output[1]);

	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	struct init init = { .pid = pid, .go = go[1], .output = output[0] };
	init.pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
	assert_true(init.pidfd >= 0);
	return init;
}

/* Its wait status. Whatever it was, it has ended when this returns. */
static int init_end(struct init *init)
{
	int status;
	assert_int_equal(waitpid(init->pid, &status, 0), init->pid);
	close(init->go);
	close(init->output);
	close(init->pidfd);
	return status;
}

static struct arm_request request_for(const struct init *init, bool profile)
{
	return (struct arm_request){ .pid = init->pid,
		.pidfd = init->pidfd,
		.filter = &filter,
		.bouquet = &bouquet,
		.has_seccomp_profile = profile };
}

static int arm_now(const struct arm_request *request, struct arm *ret, struct error *err)
{
	int r = arm_prepare(request, ret, err);
	return r < 0 ? r : arm_start(ret, 10000, err);
}

static struct arm must_arm(const struct init *init, bool profile)
{
	struct arm_request request = request_for(init, profile);
	struct arm arm;
	struct error err = { 0 };
	if (arm_now(&request, &arm, &err) < 0)
		fail_msg("arming: %s", err.msg);
	return arm;
}

static void must_commit(struct arm *arm)
{
	struct error err = { 0 };
	if (arm_commit(arm, &err) < 0)
		fail_msg("arm_commit: %s", err.msg);
	assert_int_equal(arm->pipe, -1);
}

/* The tracer of an armed and committed init ends well once the program runs. */
static void tracer_must_end_well(const struct arm *arm)
{
	int status;
	assert_int_equal(waitpid(arm->tracer, &status, 0), arm->tracer);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- what the program must say --- */

static unsigned hash_strings(char **strings, unsigned *hash)
{
	unsigned n = 0;
	for (; strings[n]; n++)
		*hash = report_hash(*hash, strings[n]);
	return n;
}

static void expect(const struct plan *plan, const char *execfn, char **argv, char *buf, size_t size)
{
	unsigned args = REPORT_HASH_START, env = REPORT_HASH_START, n_env = 0;
	unsigned n_args = hash_strings(argv, &args);
	for (char **e = plan->env; *e; e++) {
		if (bouquet_replaces(&bouquet, *e))
			continue;
		env = report_hash(env, *e);
		n_env++;
	}
	for (size_t i = 0; i < bouquet.n; i++, n_env++)
		env = report_hash(env, bouquet_text(&bouquet, i));
	(void) snprintf(buf, size, "sp ok\nargs %u %x\nenv %u %x\nexecfn %s\nenviron same\nudp refused\n", n_args, args,
		n_env, env, execfn);
}

/* Arms, commits, lets it go; *ret_output is what its program says. */
static void run_armed(const struct plan *plan, char **ret_output)
{
	struct init init = init_start(plan);
	struct arm arm = must_arm(&init, plan->profile);
	must_commit(&arm);
	assert_int_equal(write(init.go, "g", 1), 1);

	size_t len;
	struct error err = { 0 };
	assert_int_equal(io_read_all(init.output, 1 << 20, ret_output, &len, &err), 0);
	tracer_must_end_well(&arm);
	int status = init_end(&init);
	if (status != 0)
		fail_msg("%s ended with 0x%x, having said: %s", plan->program, (unsigned) status, *ret_output);
}

static void run_and_compare(const struct plan *plan)
{
	char want[512];
	_cleanup_free_ char *said = NULL;
	expect(plan, plan->program, plan->argv, want, sizeof(want));
	run_armed(plan, &said);
	assert_string_equal(said, want);
}

static char *some_args[] = { (char *) "name", (char *) "first", (char *) "", (char *) "third argument", NULL };
static char *some_env[] = { (char *) "PATH=/bin", (char *) "HTTP_PROXY=http://user:secret@old:1",
	(char *) "http_proxy=http://user:a-much-longer-secret-than-ours@old.example.com:8080",
	(char *) "HTTP_PROXYX=kept", (char *) "no_proxy=*", (char *) "HTTP_PROXY=twice", (char *) "LAST=1", NULL };

static struct plan plan_of(const char *program)
{
	return (struct plan){ .program = program, .argv = some_args, .env = some_env };
}

/* --- programs --- */

static void test_static(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	run_and_compare(&plan);
}

static void test_dynamic(void **state)
{
	(void) state;
	struct plan plan = plan_of(full_program);
	run_and_compare(&plan);
}

static void test_32bit(void **state)
{
	(void) state;
	if (!bare32_program)
		skip();
	struct plan plan = plan_of(bare32_program);
	run_and_compare(&plan);
}

static void test_script(void **state)
{
	(void) state;
	/* What the kernel makes of it: the interpreter, the script, the arguments but the first; execfn is the script.
	 */
	char *argv[] = { full_program, script, some_args[1], some_args[2], some_args[3], NULL };
	char want[512];
	_cleanup_free_ char *said = NULL;
	struct plan plan = plan_of(script);
	expect(&plan, script, argv, want, sizeof(want));
	run_armed(&plan, &said);
	assert_string_equal(said, want);
}

static void test_no_environment(void **state)
{
	(void) state;
	char *none[] = { NULL };
	struct plan plan = plan_of(bare_program);
	plan.env = none;
	run_and_compare(&plan);
}

static void test_threads(void **state)
{
	(void) state;
	struct plan plan = plan_of(full_program);
	plan.threads = 20;
	run_and_compare(&plan);
}

static void test_user(void **state)
{
	(void) state;
	struct plan plan = plan_of(full_program);
	plan.uid = 1000;
	run_and_compare(&plan);
}

/* A profile that kills for prctl(2), installed after us: the call that we make in the program must not count. */
static void test_deadly_profile(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	plan.profile = true;
	run_and_compare(&plan);
	plan.program = full_program;
	run_and_compare(&plan);
}

/* A traced execve(2) keeps the set-user-ID bit where the tracer has CAP_SYS_PTRACE over the program. */
static void test_setuid_program(void **state)
{
	(void) state;
	char *argv[] = { (char *) "full", (char *) "uid", NULL };
	_cleanup_free_ char *said = NULL;
	struct plan plan = plan_of(setuid_program);
	plan.argv = argv;
	plan.uid = 1000;
	run_armed(&plan, &said);
	assert_string_equal(said, "uid 1000 4242 0\n");
}

/* Strings as many and as long as they may be: execve(2) takes a quarter of the stack's limit, 2 MiB of 8. */
static char **many(size_t n, size_t len, const char *first)
{
	char **strings = calloc(n + 2, sizeof(*strings));
	assert_non_null(strings);
	strings[0] = strdup(first);
	for (size_t i = 1; i <= n; i++) {
		strings[i] = malloc(len + 1);
		assert_non_null(strings[i]);
		memset(strings[i], 'a' + (int) (i % 26), len);
		strings[i][len] = '\0';
		if (len > 2)
			strings[i][1] = '=';
	}
	return strings;
}

static void free_many(char **strings)
{
	for (char **s = strings; *s; s++)
		free(*s);
	free(strings);
}

static void run_huge(const char *program, char **argv, char **env)
{
	struct plan plan = { .program = program, .argv = argv, .env = env };
	run_and_compare(&plan);
}

static void test_huge(void **state)
{
	(void) state;
	char **long_strings = many(15, 120 << 10, "HTTPS_PROXY=http://user:secret@old:1");
	char **short_strings = many(180000, 2, "OCI_EGRESS=0");
	run_huge(bare_program, some_args, long_strings);
	run_huge(bare_program, some_args, short_strings);
	run_huge(bare_program, long_strings, some_env);
	run_huge(full_program, short_strings, some_env);
	if (bare32_program)
		run_huge(bare32_program, short_strings, some_env);
	free_many(long_strings);
	free_many(short_strings);
}

/* --- waiting --- */

static void must_be_killed(struct init *init)
{
	int status = init_end(init);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_tracer_killed(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	plan.threads = 3;
	struct init init = init_start(&plan);
	struct arm arm = must_arm(&init, false);
	must_commit(&arm);
	assert_int_equal(kill(arm.tracer, SIGKILL), 0);
	must_be_killed(&init);
	assert_int_equal(waitpid(arm.tracer, NULL, 0), arm.tracer);
}

static void test_abort(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	struct arm arm = must_arm(&init, false);
	arm_abort(&arm);
	must_be_killed(&init);
}

/* One that is only prepared has not touched init, however it ends. */
static void test_abort_prepared(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	struct arm_request request = request_for(&init, false);
	struct arm arm;
	assert_int_equal(arm_prepare(&request, &arm, NULL), 0);
	arm_abort(&arm);
	assert_int_equal(arm.pipe, -1);
	arm_abort(&arm);

	assert_int_equal(write(init.go, "g", 1), 1);
	_cleanup_free_ char *said = NULL;
	size_t len;
	assert_int_equal(io_read_all(init.output, 1 << 20, &said, &len, NULL), 0);
	assert_non_null(strstr(said, "udp OPEN"));
	assert_int_equal(init_end(&init), 0);
}

/* A hook that ends before it has committed, one way or another. */
static void test_hook_gone(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	for (int killed = 0; killed < 2; killed++) {
		struct init init = init_start(&plan);
		pid_t hook = fork();
		if (hook == 0) {
			struct arm_request request = request_for(&init, false);
			struct arm arm;
			if (arm_now(&request, &arm, NULL) < 0)
				_exit(1);
			if (killed)
				(void) raise(SIGKILL);
			_exit(0);
		}
		int status;
		assert_int_equal(waitpid(hook, &status, 0), hook);
		assert_true(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
		must_be_killed(&init);
	}
}

/* The tracer outlives a hook that has committed, and ends with an init that never execs. */
static void test_hook_ends_after_commit(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	pid_t hook = fork();
	if (hook == 0) {
		struct arm_request request = request_for(&init, false);
		struct arm arm;
		_exit(arm_now(&request, &arm, NULL) < 0 || arm_commit(&arm, NULL) < 0);
	}
	int status;
	assert_int_equal(waitpid(hook, &status, 0), hook);
	assert_int_equal(status, 0);

	assert_int_equal(write(init.go, "g", 1), 1);
	_cleanup_free_ char *said = NULL;
	size_t len;
	char want[512];
	expect(&plan, plan.program, plan.argv, want, sizeof(want));
	assert_int_equal(io_read_all(init.output, 1 << 20, &said, &len, NULL), 0);
	assert_string_equal(said, want);
	assert_int_equal(init_end(&init), 0);
}

static void test_init_ends_waiting(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	struct arm arm = must_arm(&init, false);
	must_commit(&arm);
	assert_int_equal(kill(init.pid, SIGKILL), 0);
	tracer_must_end_well(&arm);
	must_be_killed(&init);
}

static void test_signals(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	plan.catches = SIGUSR1;
	plan.threads = 2;
	struct init init = init_start(&plan);
	struct arm arm = must_arm(&init, false);
	must_commit(&arm);

	char byte;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kill(init.pid, SIGUSR1), 0);
		assert_int_equal(read(init.output, &byte, 1), 1);
	}
	assert_int_equal(kill(init.pid, SIGSTOP), 0);
	int status;
	assert_int_equal(waitpid(init.pid, &status, WUNTRACED), init.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(init.pid, SIGUSR1), 0);
	assert_int_equal(kill(init.pid, SIGCONT), 0);
	assert_int_equal(read(init.output, &byte, 1), 1);

	assert_int_equal(kill(init.pid, SIGTERM), 0);
	tracer_must_end_well(&arm);
	status = init_end(&init);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* --- refused --- */

static void test_init_gone(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	assert_int_equal(kill(init.pid, SIGKILL), 0);
	struct pollfd p = { .fd = init.pidfd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, -1), 1);

	struct arm_request request = request_for(&init, false);
	struct arm arm;
	struct error err = { 0 };
	assert_true(arm_now(&request, &arm, &err) < 0);
	assert_false(err.closed);
	must_be_killed(&init);
}

/* The number is another process's by now: that one stays as it is. */
static void test_number_reused(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init gone = init_start(&plan), other = init_start(&plan);
	assert_int_equal(kill(gone.pid, SIGKILL), 0);
	struct pollfd p = { .fd = gone.pidfd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, -1), 1);

	struct arm_request request = request_for(&other, false);
	request.pidfd = gone.pidfd;
	struct arm arm;
	struct error err = { 0 };
	assert_int_equal(arm_now(&request, &arm, &err), -ESRCH);
	assert_false(err.closed);
	must_be_killed(&gone);

	/* untouched: no filter, its own environment */
	assert_int_equal(write(other.go, "g", 1), 1);
	_cleanup_free_ char *said = NULL;
	size_t len;
	assert_int_equal(io_read_all(other.output, 1 << 20, &said, &len, NULL), 0);
	assert_non_null(strstr(said, "udp OPEN"));
	assert_int_equal(init_end(&other), 0);
}

static void test_traced_by_another(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	struct init init = init_start(&plan);
	assert_int_equal(ptrace(PTRACE_SEIZE, init.pid, 0, 0), 0);

	struct arm_request request = request_for(&init, false);
	struct arm arm;
	struct error err = { 0 };
	assert_int_equal(arm_now(&request, &arm, &err), -EPERM);
	assert_true(err.closed); /* a sibling's doing, perhaps */
	assert_non_null(strstr(err.msg, "traced"));
	assert_int_equal(kill(init.pid, SIGKILL), 0);
	must_be_killed(&init);
}

/* Neither CAP_SYS_ADMIN nor no_new_privs: no filter, and no init any more. */
static void test_no_capability(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	plan.no_capabilities = true;
	struct init init = init_start(&plan);
	struct arm_request request = request_for(&init, false);
	struct arm arm;
	struct error err = { 0 };
	assert_int_equal(arm_now(&request, &arm, &err), -EACCES);
	assert_true(err.closed);
	assert_non_null(strstr(err.msg, "CAP_SYS_ADMIN"));
	must_be_killed(&init);
}

/* Nothing but native code is armed: its system calls would have other numbers. */
static void test_32bit_init(void **state)
{
	(void) state;
	if (!bare32_program)
		skip();
	int input[2], output[2];
	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = { (char *) "wait", NULL };
		(void) dup2(input[0], STDIN_FILENO);
		(void) dup2(output[1], STDOUT_FILENO);
		(void) execve(bare32_program, argv, argv + 1);
		_exit(1);
	}
	close(output[1]);
	char byte;
	assert_int_equal(read(output[0], &byte, 1), 1); /* it runs: bare waits for the end of its input afterwards */

	struct init init = { .pid = pid, .go = input[1], .output = output[0] };
	init.pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
	struct arm_request request = request_for(&init, false);
	struct arm arm;
	struct error err = { 0 };
	assert_int_equal(arm_now(&request, &arm, &err), -EPROTO);
	assert_true(err.closed);
	must_be_killed(&init);
	close(input[0]);
}

/* --- how long --- */

static double now_ms(void)
{
	struct timespec t;
	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;
	return x < y ? -1 : x > y;
}

/* A figure for people, and a bound that only something badly wrong passes. */
static void test_time(void **state)
{
	(void) state;
	struct plan plan = plan_of(bare_program);
	double took[41];
	for (size_t i = 0; i < ARRAY_SIZE(took); i++) {
		struct init init = init_start(&plan);
		double start = now_ms();
		struct arm arm = must_arm(&init, false);
		took[i] = now_ms() - start;
		arm_abort(&arm);
		must_be_killed(&init);
	}
	qsort(took, ARRAY_SIZE(took), sizeof(took[0]), compare_doubles);
	double median = took[ARRAY_SIZE(took) / 2];
	print_message(
		"arm_start: median %.2f ms, least %.2f, most %.2f\n", median, took[0], took[ARRAY_SIZE(took) - 1]);
	assert_true(median < 500);
}

/* --- set-up --- */

static char directory[] = "/tmp/test_arm.XXXXXX";

static char *in_directory(const char *name)
{
	char *path = NULL;
	assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
	return path;
}

/* Kernels may be built or started without 32-bit programs (ia32_emulation=0): execve(2) then says ENOEXEC. */
static char *runnable(char *program)
{
	char *argv[] = { (char *) "probe", NULL };
	pid_t pid = program ? fork() : -1;
	if (pid == 0) {
		close(STDOUT_FILENO);
		(void) execve(program, argv, argv + 1);
		_exit(errno == ENOEXEC ? 1 : 0);
	}
	int status = 1;
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
		return program;
	print_message("this machine runs no 32-bit programs\n");
	return NULL;
}

/* The build's own directory may be one that only root can enter. */
static int copy(const char *path, const char *name, uid_t owner, mode_t mode)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	_cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (io_read_all(from, 16 << 20, &text, &len, NULL) < 0 || io_write_all(to, text, len, NULL) < 0)
		return -1;
	return fchown(to, owner, owner) < 0 || fchmod(to, mode) < 0 ? -1 : 0;
}

static int set_up(void **state)
{
	(void) state;
	struct error err = { 0 };
	if (seccomp_filter_get(&filter, &err) < 0)
		fail_msg("%s", err.msg);
	struct in_addr addr = { .s_addr = htonl(0xc6120002) }; /* 198.18.0.2 */
	bouquet_make(NULL, addr, 3128, &bouquet);

	bare_program = getenv("ARM_BARE");
	bare32_program = runnable(getenv("ARM_BARE32"));
	const char *built = getenv("ARM_FULL");
	if (!bare_program || !built || !mkdtemp(directory) || chmod(directory, 0755) < 0)
		return -1;

	script = in_directory("script");
	full_program = in_directory("full");
	setuid_program = in_directory("setuid");
	if (copy(built, full_program, 0, 0755) < 0 || copy(built, setuid_program, 4242, 04755) < 0)
		return -1;
	FILE *f = fopen(script, "we");
	if (!f || fprintf(f, "#!%s\n", full_program) < 0 || fchmod(fileno(f), 0755) < 0 || fclose(f) != 0)
		return -1;

	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	seccomp_filter_free(&filter);
	(void) unlink(script);
	(void) unlink(full_program);
	(void) unlink(setuid_program);
	free(script);
	free(full_program);
	free(setuid_program);
	return rmdir(directory);
}

int main(void)
{
	if (geteuid() != 0) {
		print_message("not root\n");
		return getenv("MUST_WORK") ? 1 : 77;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_32bit),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_no_environment),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_deadly_profile),
		cmocka_unit_test(test_setuid_program),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_tracer_killed),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_abort_prepared),
		cmocka_unit_test(test_hook_gone),
		cmocka_unit_test(test_hook_ends_after_commit),
		cmocka_unit_test(test_init_ends_waiting),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_init_gone),
		cmocka_unit_test(test_number_reused),
		cmocka_unit_test(test_traced_by_another),
		cmocka_unit_test(test_no_capability),
		cmocka_unit_test(test_32bit_init),
		cmocka_unit_test(test_time),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
