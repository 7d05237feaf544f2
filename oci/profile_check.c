/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/profile_check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "oci/bpf.h"
#include "oci/profile_compile.h"
#include "oci/profile_rules.h"
#include "oci/seccomp.h"
#include "oci/seccomp_abi.h"
#include "oci/seccomp_probe.h"

#define NUMBERS 1024 /* that are probed */

/* What our filter has a say in. */
static const char *const subjects[] = { "socket", "socketpair", "socketcall", "io_uring_setup", "io_uring_enter",
	"io_uring_register", NULL };

/* What the original's rules say of a number, by our own reading of them. */
struct expectation {
	enum { BY_DEFAULT, BY_ARGUMENTS, BY_RULE } by;
	uint32_t action;
};

struct check {
	const struct profile *original;
	struct sock_fprog ours, merged, before; /* before: the original's, of the subjects alone */
	struct expectation expected[ARRAY_SIZE(seccomp_abis)][NUMBERS];
};

static void cleanup_check(struct check *check)
{
	free(check->ours.filter);
	free(check->merged.filter);
	free(check->before.filter);
}

static uint32_t stricter(uint32_t a, uint32_t b)
{
	return profile_rank(b) < profile_rank(a) ? b : a;
}

static const char *subject_of(const struct abi *abi, int nr)
{
	if (nr == abi->socket)
		return "socket";
	if (nr == abi->socketpair)
		return "socketpair";
	if (nr == abi->socketcall)
		return "socketcall";
	switch (nr) {
	case IO_URING_SETUP:
		return "io_uring_setup";
	case IO_URING_ENTER:
		return "io_uring_enter";
	case IO_URING_REGISTER:
		return "io_uring_register";
	default:
		return NULL;
	}
}

/* A rule of that system call, one that permits where there is one; else the whole profile. */
static const struct json_value *culprit(const struct profile *profile, const char *name)
{
	const struct profile_rule *found = NULL;
	for (size_t i = 0; name && i < profile->n_rules; i++) {
		const struct profile_rule *rule = &profile->rules[i];
		if (!profile_counts(profile, rule) || !profile_names(rule, name))
			continue;
		if (!found || (profile_permits(rule->action) && !profile_permits(found->action)))
			found = rule;
	}
	return found ? found->value : profile->value;
}

static int complain(const struct check *check, const struct seccomp_probe *probe, const char *name, uint32_t got,
	uint32_t want, struct error *err)
{
	return json_complain(check->original->json, culprit(check->original, name), err,
		"%s cannot be brought together with the seccomp filter: %s, %s (system call %d): action 0x%x, expected "
		"0x%x",
		name ? name : "profile", probe->abi ? probe->abi->name : "foreign", probe->name, probe->data.nr, got,
		want);
}

/* Bits that the kernel does not look at, or refuses: pieces of a rule may leave them out. */
static bool is_odd(const struct seccomp_data *data)
{
	const uint64_t flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	return (data->args[0] | data->args[1] | data->args[2]) >> 32 != 0 || (data->args[1] & ~(flags | 0xf)) != 0;
}

static int check_subject(
	const struct check *check, const struct seccomp_probe *probe, const char *name, struct error *err)
{
	uint32_t before = bpf_run(&check->before, &probe->data), got = bpf_run(&check->merged, &probe->data);
	uint32_t want = stricter(before, bpf_run(&check->ours, &probe->data));
	if (strcmp(name, "socketcall") == 0)
		want = SCMP_ACT_ERRNO(ENOSYS);
	bool same = profile_rank(got) == profile_rank(want), harder = profile_rank(got) < profile_rank(want);
	if (same || (harder && (!profile_permits(want) || is_odd(&probe->data))))
		return 0;
	return complain(check, probe, name, got, want, err);
}

/* The table's is another copy of the header's. */
static size_t index_of(const struct abi *abi)
{
	size_t i = 0;
	while (seccomp_abis[i].audit_arch != abi->audit_arch)
		i++;
	return i;
}

/*
 * A number that libseccomp finds no name for, but whose name it finds: i386 has some calls twice, and names lead to the
 * one in socketcall(2) or ipc(2).
 */
static bool is_by_name(const struct check *check, const struct seccomp_probe *probe, uint32_t got)
{
	_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(probe->abi->audit_arch, probe->data.nr);
	if (!name)
		return false;
	const struct profile_rule *dominant = profile_dominant(check->original, name);
	if (dominant)
		return dominant->action == got;
	for (size_t i = 0; i < check->original->n_rules; i++)
		if (profile_names(&check->original->rules[i], name))
			return true;
	return false;
}

/* Not ours: as the original has it. */
static int check_other(const struct check *check, const struct seccomp_probe *probe, struct error *err)
{
	const struct expectation *e = &check->expected[index_of(probe->abi)][probe->data.nr];
	if (e->by == BY_ARGUMENTS)
		return 0;
	uint32_t want = e->by == BY_RULE ? e->action : bpf_run(&check->before, &probe->data);
	uint32_t got = bpf_run(&check->merged, &probe->data);
	return got == want || is_by_name(check, probe, got) ? 0 : complain(check, probe, NULL, got, want, err);
}

static int visit(const struct seccomp_probe *probe, void *ctx, struct error *err)
{
	const struct check *check = ctx;
	if (probe->data.arch == SECCOMP_UNKNOWN_ARCH)
		return 0; /* a profile may say what it likes about machines that this one is not */
	if (!probe->abi) {
		uint32_t got = bpf_run(&check->merged, &probe->data);
		return profile_permits(got) ? complain(check, probe, NULL, got, probe->want, err) : 0;
	}
	const char *name = subject_of(probe->abi, probe->data.nr);
	return name ? check_subject(check, probe, name, err) : check_other(check, probe, err);
}

/* --- the numbers that are not ours --- */

static bool has_abi(const struct profile *profile, const struct abi *abi)
{
	/* libseccomp's tokens of these are the kernel's; its own architecture is always in. */
	bool found = abi->audit_arch == seccomp_arch_native();
	for (size_t i = 0; i < profile->n_archs; i++)
		found |= profile->archs[i] == abi->audit_arch;
	return found;
}

static void expect(struct expectation *expected, const struct abi *abi, const struct profile_rule *rule,
	const struct json_value *name)
{
	char text[64];
	if (name->len >= sizeof(text))
		return;
	memcpy(text, name->bytes, name->len);
	text[name->len] = '\0';
	if (seccomp_syscall_resolve_name(text) == __NR_SCMP_ERROR)
		return;
	int nr = seccomp_syscall_resolve_name_arch(abi->audit_arch, text);
	if (nr < 0 || nr >= NUMBERS || expected[nr].by == BY_RULE)
		return;
	expected[nr].by = rule->n_args ? BY_ARGUMENTS : BY_RULE;
	expected[nr].action = rule->action;
}

static void expect_all(struct check *check, size_t at)
{
	const struct abi *abi = &seccomp_abis[at];
	const struct profile *profile = check->original;
	if (!has_abi(profile, abi))
		return;
	/* Its calls, where they are permitted, are permitted through it as well. */
	int ipc = seccomp_syscall_resolve_name_arch(abi->audit_arch, "ipc");
	if (ipc >= 0 && ipc < NUMBERS)
		check->expected[at][ipc].by = BY_ARGUMENTS;
	for (size_t i = 0; i < profile->n_rules; i++) {
		const struct profile_rule *rule = &profile->rules[i];
		if (!rule->names || !profile_counts(profile, rule))
			continue;
		for (const struct json_value *name = rule->names->first; name; name = name->next)
			expect(check->expected[at], abi, rule, name);
	}
}

/* --- the original's own conditions --- */

static uint64_t satisfying(const struct scmp_arg_cmp *c)
{
	switch (c->op) {
	case SCMP_CMP_NE:
	case SCMP_CMP_GT:
		return c->datum_a + 1;
	case SCMP_CMP_LT:
		return c->datum_a - 1;
	case SCMP_CMP_MASKED_EQ:
		return c->datum_b & c->datum_a;
	default:
		return c->datum_a;
	}
}

/* With each of the rule's conditions met, and each in turn just so or just not. */
static int probe_around(struct check *check, const struct profile_rule *rule, struct seccomp_probe *probe,
	const char *name, struct error *err)
{
	/* 32-bit system calls have no more than that, and their filters look at no more. */
	const uint64_t mask = probe->abi->audit_arch & __AUDIT_ARCH_64BIT ? UINT64_MAX : UINT32_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(probe->data.args); i++)
		probe->data.args[i] &= mask;
	int r = check_subject(check, probe, name, err);
	for (unsigned i = 0; r == 0 && i < rule->n_args; i++) {
		const struct scmp_arg_cmp *c = &rule->args[i];
		__u64 *arg = &probe->data.args[c->arg], was = *arg;
		const uint64_t values[] = { c->datum_a - 1, c->datum_a, c->datum_a + 1, c->datum_b, satisfying(c) };
		for (size_t j = 0; r == 0 && j < ARRAY_SIZE(values); j++) {
			*arg = values[j] & mask;
			r = check_subject(check, probe, name, err);
		}
		*arg = was;
	}
	return r;
}

static int probe_rule(struct check *check, const struct profile_rule *rule, const struct abi *abi, int nr,
	const char *name, struct error *err)
{
	static const uint64_t bases[][3] = { { AF_UNIX, SOCK_STREAM, 0 }, { AF_INET, SOCK_STREAM, 0 },
		{ AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP }, { AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0 },
		{ AF_NETLINK, SOCK_RAW, 0 }, { AF_NETLINK, SOCK_DGRAM, 0 }, { AF_INET, SOCK_DGRAM, 0 } };
	struct seccomp_probe probe = { .abi = abi, .name = "by a rule's conditions", .data = { .nr = nr } };
	probe.data.arch = abi->audit_arch;
	for (unsigned i = 0; i < rule->n_args; i++)
		probe.data.args[rule->args[i].arg] = satisfying(&rule->args[i]);
	int r = probe_around(check, rule, &probe, name, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(bases); i++) {
		memcpy(probe.data.args, bases[i], sizeof(bases[i]));
		r = probe_around(check, rule, &probe, name, err);
	}
	return r;
}

static int probe_rules(struct check *check, const struct abi *abi, struct error *err)
{
	const int numbers[] = { abi->socket, abi->socketpair, IO_URING_SETUP, IO_URING_ENTER, IO_URING_REGISTER };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++) {
		const char *name = subject_of(abi, numbers[i]);
		for (size_t j = 0; r == 0 && j < check->original->n_rules; j++) {
			const struct profile_rule *rule = &check->original->rules[j];
			if (rule->n_args && profile_names(rule, name))
				r = probe_rule(check, rule, abi, numbers[i], name, err);
		}
	}
	return r;
}

static size_t count_rules(const struct profile *profile)
{
	size_t n = 0;
	for (size_t i = 0; i < profile->n_rules; i++)
		n += profile->rules[i].names ? profile->rules[i].names->len : 0;
	return n;
}

/* libseccomp refuses two rules whose conditions it finds to be the same: whose were they before they were ours? */
static int complain_refused(const struct check *check, const struct profile *merged, struct error *err)
{
	for (const char *const *name = subjects; *name; name++) {
		const char *const only[] = { *name, NULL };
		struct sock_fprog program = { 0 };
		int r = profile_compile(merged, only, false, &program, NULL);
		free(program.filter);
		if (r < 0)
			return json_complain(check->original->json, culprit(check->original, *name), err,
				"%s cannot be brought together with the seccomp filter: refused by libseccomp", *name);
	}
	return err ? err->code : -EINVAL;
}

static int check_program(struct check *check, const struct profile *merged, bool tree, struct error *err)
{
	free(TAKE_PTR(check->merged.filter));
	int r = profile_compile(merged, NULL, tree, &check->merged, err);
	if (r == -EINVAL)
		return complain_refused(check, merged, err);
	if (r == 0)
		r = bpf_validate(&check->merged, err);
	if (r == 0)
		r = seccomp_probe_all(visit, check, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(seccomp_abis); i++)
		r = probe_rules(check, &seccomp_abis[i], err);
	return r;
}

/* Without x32: it is gone from the merged one, and libseccomp 2.5.4 makes filters with it that do not hold. */
static struct profile without_x32(const struct profile *profile)
{
	struct profile ret = *profile;
	ret.n_archs = 0;
	for (size_t i = 0; i < profile->n_archs; i++)
		if (profile->archs[i] != SCMP_ARCH_X32)
			ret.archs[ret.n_archs++] = profile->archs[i];
	return ret;
}

int profile_check(const struct profile *original, const struct profile *merged, struct error *err)
{
	struct profile before = without_x32(original);
	__attribute__((cleanup(cleanup_check))) struct check check = { .original = &before };
	int r = seccomp_filter_get(&check.ours, err);
	if (r == 0)
		r = profile_compile(&before, subjects, false, &check.before, err);
	if (r == 0)
		r = bpf_validate(&check.before, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(seccomp_abis); i++)
		expect_all(&check, i);
	r = check_program(&check, merged, false, err);
	if (r == 0 && count_rules(merged) > PROFILE_TREE_RULES)
		r = check_program(&check, merged, true, err);
	return r;
}
