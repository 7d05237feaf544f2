/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/profile_compile.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/profile_rules.h"
#include "oci/seccomp_export.h"

#define NAME_MAX_LEN 64 /* longer than that of any system call */

static void cleanup_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static bool is_one_of(const char *name, const char *const *only)
{
	for (; *only; only++)
		if (strcmp(*only, name) == 0)
			return true;
	return false;
}

/* Two conditions on one argument make each a rule of its own: so do runc and crun. */
static int add_number(scmp_filter_ctx ctx, const struct profile_rule *rule, int number)
{
	if (!profile_alternatives(rule))
		return seccomp_rule_add_array(ctx, rule->action, number, rule->n_args, rule->args);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rule->n_args; i++)
		r = seccomp_rule_add_array(ctx, rule->action, number, 1, &rule->args[i]);
	return r;
}

static int add_rule(const struct profile *profile, scmp_filter_ctx ctx, const struct profile_rule *rule,
	const char *const *only, struct error *err)
{
	if (!rule->names || !profile_counts(profile, rule))
		return 0;
	for (const struct json_value *v = rule->names->first; v; v = v->next) {
		char name[NAME_MAX_LEN];
		if (v->len >= sizeof(name))
			continue;
		memcpy(name, v->bytes, v->len);
		name[v->len] = '\0';
		if (only && !is_one_of(name, only))
			continue;
		int number = seccomp_syscall_resolve_name(name);
		if (number == __NR_SCMP_ERROR) /* a runtime of the same libseccomp passes over it too */
			continue;
		int r = add_number(ctx, rule, number);
		if (r < 0)
			return json_complain(
				profile->json, rule->value, err, "%s: refused by libseccomp: %s", name, strerror(-r));
	}
	return 0;
}

static int add_all(const struct profile *profile, scmp_filter_ctx ctx, const char *const *only, struct error *err)
{
	for (size_t i = 0; i < profile->n_archs; i++) {
		int r = seccomp_arch_add(ctx, profile->archs[i]);
		if (r < 0 && r != -EEXIST)
			return json_complain(
				profile->json, profile->architectures, err, "refused by libseccomp: %s", strerror(-r));
	}
	for (size_t i = 0; i < profile->n_rules; i++) {
		int r = add_rule(profile, ctx, &profile->rules[i], only, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compile(
	const struct profile *profile, const char *const *only, bool tree, struct sock_fprog *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = seccomp_init(profile->default_action);
	if (!ctx)
		return json_complain(profile->json, profile->value, err,
			"defaultAction: refused by libseccomp, for want of memory or of kernel support");
	if (tree) {
		int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		if (r < 0)
			return error_set(err, -r, "seccomp filter as a tree");
	}
	int r = add_all(profile, ctx, only, err);
	if (r == 0)
		r = seccomp_export(ctx, ret, err);
	return r;
}

/* What the child leaves in a file that both have open, the program behind it. */
struct outcome {
	int result;
	struct error err;
	unsigned short len;
};

static void compile_and_leave(const struct profile *profile, const char *const *only, bool tree, int fd)
{
	const struct rlimit seconds = { PROFILE_COMPILE_SECONDS, PROFILE_COMPILE_SECONDS };
	struct sock_fprog program = { 0 };
	struct outcome outcome = { 0 };
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void) setrlimit(RLIMIT_CPU, &seconds); /* fails only where there is less already */
	outcome.result = compile(profile, only, tree, &program, &outcome.err);
	outcome.len = program.len;
	size_t size = program.len * sizeof(*program.filter);
	if (size > 0 && pwrite(fd, program.filter, size, sizeof(outcome)) != (ssize_t) size)
		_exit(1);
	_exit(pwrite(fd, &outcome, sizeof(outcome), 0) != (ssize_t) sizeof(outcome));
}

/* The child has ended; an engine that ignores SIGCHLD has it reaped already, wait(2). */
static int await(pid_t pid)
{
	int status = 0, r;
	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return status;
}

static int take_program(int fd, unsigned short len, struct sock_fprog *ret, struct error *err)
{
	size_t size = len * sizeof(*ret->filter);
	struct sock_filter *filter = malloc(size);
	if (!filter)
		return error_set(err, ENOMEM, "seccomp filter");
	if (pread(fd, filter, size, sizeof(struct outcome)) != (ssize_t) size) {
		free(filter);
		return error_say(err, EIO, "seccomp filter: short read");
	}
	*ret = (struct sock_fprog){ .len = len, .filter = filter };
	return 0;
}

int profile_compile(
	const struct profile *profile, const char *const *only, bool tree, struct sock_fprog *ret, struct error *err)
{
	struct outcome outcome;
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "memfd_create");
	pid_t pid = fork();
	if (pid < 0)
		return error_set(err, errno, "a process for libseccomp");
	if (pid == 0)
		compile_and_leave(profile, only, tree, fd);
	int status = await(pid);
	if (pread(fd, &outcome, sizeof(outcome), 0) != (ssize_t) sizeof(outcome))
		return json_complain(profile->json, profile->value, err,
			"libseccomp came to no end with it: %s %d (%d s of processor time are what it may take)",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), PROFILE_COMPILE_SECONDS);
	if (outcome.result < 0) {
		if (err)
			*err = outcome.err;
		return outcome.result;
	}
	return take_program(fd, outcome.len, ret, err);
}
