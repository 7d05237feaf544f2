/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profiles that engines ship (tests/corpus/profiles) and random ones: what comes out, compiled as runtimes do, must
 * say to each system call the stricter of what the profile said and of what the filter says. PROFILES and SEED in the
 * environment: how many random ones, and which; VERBOSE: show those that are refused.
 */
#include "oci/profile.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "oci/bpf.h"
#include "oci/profile_compile.h"
#include "oci/profile_rules.h"
#include "oci/seccomp.h"
#include "oci/seccomp_abi.h"

#define PROBES 400 /* of each ABI, beside one of each number */

static uint64_t state;

static uint64_t random_next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t below(size_t n)
{
	return (size_t) (random_next() >> 16) % n;
}

/* libseccomp's own, of rules that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libseccomp\n";
}

#define PICK(a) ((a)[below(ARRAY_SIZE(a))])

static const char *const actions[] = { "ALLOW", "ALLOW", "ALLOW", "ALLOW", "ERRNO", "ERRNO", "LOG", "TRACE", "NOTIFY",
	"TRAP", "KILL", "KILL_PROCESS" };
static const char *const defaults[] = { "ERRNO", "ERRNO", "ERRNO", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "ALLOW",
	"LOG", "TRACE" };
static const char *const subjects[] = { "socket", "socket", "socket", "socketpair", "socketcall", "io_uring_setup",
	"io_uring_enter", "io_uring_register" };
static const char *const others[] = { "read", "write", "connect", "bind", "sendmsg", "clone", "ipc", "shmget",
	"personality", "openat", "recvmmsg", "newfstatat", "arm_fadvise64_64", "no_such_call" };
static const char *const operators[] = { "EQ", "EQ", "EQ", "NE", "NE", "LT", "LE", "GE", "GT", "MASKED_EQ" };
static const char *const architectures[] = { "",
	"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],",
	"\"architectures\":[\"SCMP_ARCH_X86\"],", "\"architectures\":[\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\"],",
	"\"architectures\":[],", "\"architectures\":[\"SCMP_ARCH_X32\",\"SCMP_ARCH_X86_64\"],",
	"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_S390X\"]," };
static const uint64_t families[] = { 0, 1, 2, 3, 10, 11, 16, 17, 18, 29, 38, 40, 44, UINT64_C(1) << 32 | 2,
	UINT64_C(1) << 32 | 40 };
static const uint64_t types[] = { 0, 1, 2, 3, 4, 5, 10, 15, 0x80001, 0x801, 0x80801, 0x80002, 0x80803, 0x11,
	UINT64_C(1) << 32 | 1 };
static const uint64_t protocols[] = { 0, 1, 2, 5, 6, 7, 9, 12, 17, 132, 262, UINT64_C(1) << 32 };
static const uint64_t masks[] = { 0xf, 0x1, 0x7, 0xff, 0xffffffff, 0x80000, UINT64_MAX };

static uint64_t pick_value(size_t index)
{
	return index == 0 ? PICK(families) : index == 1 ? PICK(types) : PICK(protocols);
}

static void put_action(FILE *out, const char *action, const char *key, const char *errno_key)
{
	(void) fprintf(out, "\"%s\":\"SCMP_ACT_%s\"", key, action);
	if (strcmp(action, "ERRNO") == 0 && below(2))
		(void) fprintf(out, ",\"%s\":%d", errno_key, below(2) ? ENOSYS : EACCES);
}

static void put_args(FILE *out, size_t n)
{
	size_t start = below(3);
	(void) fputs(",\"args\":[", out);
	for (size_t i = 0; i < n; i++) {
		size_t index = below(8) ? (start + i) % 3 : below(6);
		const char *op = PICK(operators);
		bool masked = strcmp(op, "MASKED_EQ") == 0;
		(void) fprintf(out, "%s{\"index\":%zu,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"SCMP_CMP_%s\"}",
			i ? "," : "", index, (unsigned long long) (masked ? PICK(masks) : pick_value(index)),
			(unsigned long long) (masked ? pick_value(index) : 0), op);
	}
	(void) fputc(']', out);
}

static void put_rule(FILE *out)
{
	size_t n = 1 + below(4);
	(void) fputs("{\"names\":[", out);
	for (size_t i = 0; i < n; i++)
		(void) fprintf(out, "%s\"%s\"", i ? "," : "", below(5) < 3 ? PICK(subjects) : PICK(others));
	(void) fputs("],", out);
	put_action(out, PICK(actions), "action", "errnoRet");
	if (below(3))
		put_args(out, 1 + below(3));
	(void) fputs(",\"comment\":{\"a\":[1.5e3,\"\\u00e4\"]}}", out);
}

static char *make_profile(void)
{
	char *text = NULL;
	size_t len, n = below(7);
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	(void) fputc('{', out);
	put_action(out, PICK(defaults), "defaultAction", "defaultErrnoRet");
	(void) fprintf(out, ",%s\"syscalls\":[", PICK(architectures));
	for (size_t i = 0; i < n; i++) {
		(void) fputs(i ? "," : "", out);
		put_rule(out);
	}
	(void) fputs("],\"listenerPath\":\"/run/x\"}", out);
	assert_int_equal(fclose(out), 0);
	return text;
}

struct programs {
	bool lenient; /* of other machines only the filter's part counts: on this one nobody checks the rest */
	const char *text, *merged_text;
	struct sock_fprog ours, before, after;
};

static uint32_t stricter(uint32_t a, uint32_t b)
{
	return profile_rank(b) < profile_rank(a) ? b : a;
}

/* High bits, which the kernel does not see, and flags that there are not: where they are refused nothing is lost. */
static bool is_odd(const struct seccomp_data *data)
{
	return (data->args[0] | data->args[1] | data->args[2]) >> 32 || (data->args[1] & ~UINT64_C(0x8080f));
}

/* Flags that there are not: socket(2) says EINVAL, and whether that is logged, or somebody asked before, is no matter.
 */
static bool is_invalid(const struct abi *abi, const struct seccomp_data *data)
{
	return (data->nr == abi->socket || data->nr == abi->socketpair) &&
	       ((uint32_t) data->args[1] & ~UINT32_C(0x8080f));
}

/* Beside this machine's own: profiles are for others too. The filter says the same there. */
static const struct abi more_abis[] = {
#if defined(__x86_64__)
	{ "aarch64", AUDIT_ARCH_AARCH64, 198, 199, -1 },
	{ "arm", AUDIT_ARCH_ARM, 281, 288, -1 },
#else
	{ "x86_64", AUDIT_ARCH_X86_64, 41, 53, -1 },
	{ "i386", AUDIT_ARCH_I386, 359, 360, 102 },
#endif
};

static uint32_t run_ours(const struct programs *p, const struct abi *abi, const struct seccomp_data *data)
{
	const struct abi *own = &seccomp_abis[0];
	struct seccomp_data translated = *data;
	translated.arch = own->audit_arch;
	if (data->nr == abi->socket)
		translated.nr = own->socket;
	else if (data->nr == abi->socketpair)
		translated.nr = own->socketpair;
	else if (data->nr == abi->socketcall)
		translated.nr = IO_URING_SETUP; /* as absent */
	else if (data->nr < IO_URING_SETUP || data->nr > IO_URING_REGISTER)
		return SECCOMP_RET_ALLOW;
	return bpf_run(&p->ours, &translated);
}

static void probe(const struct programs *p, const struct abi *abi, const struct seccomp_data *data)
{
	uint32_t want = stricter(bpf_run(&p->before, data), run_ours(p, abi, data));
	uint32_t got = bpf_run(&p->after, data);
	bool harder = profile_rank(got) < profile_rank(want);
	if (profile_rank(got) == profile_rank(want) || (harder && (!profile_permits(want) || is_odd(data))))
		return;
	if (profile_permits(want) && profile_permits(got) && is_invalid(abi, data))
		return;
	bool foreign = abi >= more_abis && abi < more_abis + ARRAY_SIZE(more_abis);
	if (p->lenient && foreign && profile_rank(got) <= profile_rank(run_ours(p, abi, data)))
		return;
	if (data->nr == abi->socketcall && !profile_permits(got)) /* ENOSYS, where the profile may have killed */
		return;
	fail_msg("%s %d(0x%llx, 0x%llx, 0x%llx): 0x%x, expected 0x%x\n%s\n%s", abi->name, data->nr,
		(unsigned long long) data->args[0], (unsigned long long) data->args[1],
		(unsigned long long) data->args[2], got, want, p->text, p->merged_text);
}

static void probe_abi(const struct programs *p, const struct abi *abi, size_t probes)
{
	struct seccomp_data data = { .arch = abi->audit_arch };
	for (data.nr = 0; data.nr < 480; data.nr++)
		probe(p, abi, &data);
	const int numbers[] = { abi->socket, abi->socket, abi->socket, abi->socketpair, abi->socketcall, IO_URING_SETUP,
		IO_URING_ENTER };
	for (size_t i = 0; i < probes; i++) {
		data.nr = PICK(numbers);
		if (data.nr < 0)
			continue;
		for (size_t arg = 0; arg < ARRAY_SIZE(data.args); arg++)
			data.args[arg] =
				pick_value(arg) & (abi->audit_arch & __AUDIT_ARCH_64BIT ? UINT64_MAX : UINT32_MAX);
		probe(p, abi, &data);
	}
}

/* x32 kills, whatever the profile said: no profile can say less. */
static void probe_x32(const struct programs *p)
{
#if defined(__x86_64__)
	struct seccomp_data data = { .nr = 0x40000000 | 41, .arch = AUDIT_ARCH_X86_64, .args = { 1, 1 } };
	assert_false(profile_permits(bpf_run(&p->after, &data)));
	data.nr = 0x40000000;
	assert_false(profile_permits(bpf_run(&p->after, &data)));
#else
	(void) p;
#endif
}

static bool compile(const char *text, size_t len, bool tree, struct sock_fprog *ret)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_profile_ struct profile profile = { 0 };
	struct error err;
	assert_int_equal(json_parse("profile", text, len, false, &json, &err), 0);
	assert_int_equal(profile_read(json, json_root(json), &profile, &err), 0);
	/* With x32 libseccomp 2.5.4 makes filters that do not do what the profile says. */
	size_t n = 0;
	for (size_t i = 0; i < profile.n_archs; i++)
		if (profile.archs[i] != SCMP_ARCH_X32)
			profile.archs[n++] = profile.archs[i];
	profile.n_archs = n;
	return profile_compile(&profile, NULL, tree, ret, &err) == 0;
}

static bool merge(const char *text, char **ret, size_t *ret_len)
{
	_cleanup_json_ struct json *json = NULL;
	struct error err;
	assert_int_equal(json_parse("profile", text, strlen(text), false, &json, &err), 0);
	if (profile_merge(json, json_root(json), ret, ret_len, &err) == 0)
		return true;
	assert_int_equal(err.code, -EINVAL);
	if (getenv("VERBOSE"))
		print_message("%s\n%s\n", err.msg, text);
	return false;
}

enum outcome { HELD, REFUSED, IMPOSSIBLE };

/* Compiled one way and the other: in what libseccomp gets wrong they differ. */
static void compare(struct programs *p, const char *merged, size_t len, size_t probes)
{
	for (int tree = 0; tree < 2; tree++) {
		assert_true(compile(p->text, strlen(p->text), tree != 0, &p->before));
		assert_true(compile(merged, len, tree != 0, &p->after));
		for (size_t i = 0; i < ARRAY_SIZE(seccomp_abis); i++)
			probe_abi(p, &seccomp_abis[i], probes);
		for (size_t i = 0; i < ARRAY_SIZE(more_abis); i++)
			probe_abi(p, &more_abis[i], probes);
		probe_x32(p);
		free(p->before.filter);
		free(p->after.filter);
	}
}

static enum outcome try_one(struct programs *p, const char *text, size_t probes)
{
	_cleanup_free_ char *merged = NULL;
	size_t len;
	if (!compile(text, strlen(text), false, &p->before))
		return IMPOSSIBLE;
	free(p->before.filter);
	if (!merge(text, &merged, &len))
		return REFUSED;
	p->text = text;
	p->merged_text = merged;
	compare(p, merged, len, probes);
	return HELD;
}

static size_t number_of(const char *name, size_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_random(void **ignored)
{
	(void) ignored;
	struct programs p = { .lenient = true };
	size_t count[3] = { 0 }, n = number_of("PROFILES", 100);
	assert_int_equal(seccomp_filter_get(&p.ours, NULL), 0);
	for (size_t i = 0, seed = number_of("SEED", 1); i < n; i++) {
		state = (seed * 1000003 + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		_cleanup_free_ char *text = make_profile();
		count[try_one(&p, text, PROBES)]++;
	}
	seccomp_filter_free(&p.ours);
	print_message("%zu profiles hold, %zu are refused, %zu are none that libseccomp takes\n", count[HELD],
		count[REFUSED], count[IMPOSSIBLE]);
	assert_true(count[REFUSED] * 4 < count[HELD]);
}

static char *read_file(const char *directory, const char *name)
{
	char path[4096];
	(void) snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	char *text = NULL;
	size_t size = 0;
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	(void) fclose(file);
	return text;
}

static void test_shipped(void **ignored)
{
	(void) ignored;
	const char *directory = getenv("PROFILE_CORPUS");
	assert_non_null(directory);
	_cleanup_closedir_ DIR *dir = opendir(directory);
	assert_non_null(dir);
	struct programs p = { 0 };
	size_t n = 0;
	state = 1;
	assert_int_equal(seccomp_filter_get(&p.ours, NULL), 0);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		const char *dot = strrchr(entry->d_name, '.');
		if (!dot || strcmp(dot, ".json") != 0)
			continue;
		_cleanup_free_ char *text = read_file(directory, entry->d_name);
		if (try_one(&p, text, 5 * PROBES) != HELD)
			fail_msg("%s is refused", entry->d_name);
		n++;
	}
	seccomp_filter_free(&p.ours);
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
