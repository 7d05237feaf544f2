/* SPDX-License-Identifier: Apache-2.0 */
/* What a merged profile looks like, and what is said of profiles that cannot be merged. */
#include "oci/profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/bpf.h"
#include "oci/json.h"
#include "oci/profile_cache.h"
#include "oci/profile_compile.h"
#include "oci/profile_rules.h"
#include "oci/seccomp_abi.h"
#include "tests/oci/test.h"

/* libseccomp's own, of rules that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libseccomp\n";
}

static int merge_text(const char *text, char **ret, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *merged = NULL;
	size_t len = strlen(text);
	_cleanup_free_ char *copy = copy_of(text, len);
	assert_int_equal(json_parse("config.json", copy, len, false, &json, err), 0);
	int r = profile_merge(json, json_root(json), &merged, &len, err);
	if (r < 0)
		return r;
	*ret = strndup(merged, len);
	assert_non_null(*ret);
	return 0;
}

static void expect_merged(const char *text, const char *expected)
{
	_cleanup_free_ char *merged = NULL;
	struct error err;
	if (merge_text(text, &merged, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(merged, expected);
}

static void expect_refused(const char *text, const char *message)
{
	_cleanup_free_ char *merged = NULL;
	struct error err = { 0 };
	assert_int_equal(merge_text(text, &merged, &err), -EINVAL);
	assert_null(merged);
	if (!strstr(err.msg, message))
		fail_msg("got:      %s\nexpected: %s", err.msg, message);
}

/* What the text's filter says to a system call of this machine's own ABI. */
static uint32_t verdict(const char *text, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_profile_ struct profile profile = { 0 };
	struct sock_fprog program;
	assert_int_equal(json_parse("merged", text, strlen(text), false, &json, NULL), 0);
	assert_int_equal(profile_read(json, json_root(json), &profile, NULL), 0);
	assert_int_equal(profile_compile(&profile, NULL, false, &program, NULL), 0);
	struct seccomp_data data = { .nr = nr, .arch = seccomp_abis[0].audit_arch, .args = { a0, a1, a2 } };
	uint32_t got = bpf_run(&program, &data);
	free(program.filter);
	return got;
}

#define SOCKET (seccomp_abis[0].socket)
#define DENIED (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

/* Order, white space, big numbers, escapes, members that nobody knows: all as they were. */
static void test_kept(void **state)
{
	(void) state;
	expect_merged("{ \"x\": [1, {\"y\" : 1e400}], \"defaultAction\": \"SCMP_ACT_ERRNO\", \"flags\": "
		      "[\"SECCOMP_FILTER_FLAG_LOG\"],"
		      " \"syscalls\": [ {\"action\": \"SCMP_ACT_ALLOW\", \"names\": [\"read\", \"wr\\u0069te\"], "
		      "\"z\": 18446744073709551616} ],"
		      " \"listenerMetadata\": \"\\\"]}\" }",
		"{\"x\": [1, {\"y\" : "
		"1e400}],\"defaultAction\": \"SCMP_ACT_ERRNO\",\"flags\": [\"SECCOMP_FILTER_FLAG_LOG\"],"
		"\"listenerMetadata\": \"\\\"]}\","
		"\"syscalls\":[{\"action\": \"SCMP_ACT_ALLOW\", \"names\": [\"read\", \"wr\\u0069te\"], \"z\": "
		"18446744073709551616}]}");
	expect_merged("{\"defaultAction\":\"SCMP_ACT_KILL\"}", "{\"defaultAction\":\"SCMP_ACT_KILL\",\"syscalls\":[]}");
}

#define CELL(f, rest) "{\"index\":0,\"value\":" #f ",\"valueTwo\":0,\"op\":\"SCMP_CMP_EQ\"}" rest
#define TYPE(mask, t) ",{\"index\":1,\"value\":" #mask ",\"valueTwo\":" #t ",\"op\":\"SCMP_CMP_MASKED_EQ\"}"
#define PROTOCOL(p) ",{\"index\":2,\"value\":" #p ",\"valueTwo\":0,\"op\":\"SCMP_CMP_EQ\"}"
#define RULE(args) "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_LOG\",\"comment\":\"c\",\"args\":[" args "]}"

static void test_cut(void **state)
{
	(void) state;
	expect_merged("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"bind\",\"socket\",\"read\"],"
		      "\"action\":\"SCMP_ACT_LOG\",\"comment\":\"c\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
		"{\"names\":[\"bind\",\"read\"],\"action\":\"SCMP_ACT_LOG\",\"comment\":\"c\"}," RULE(
			CELL(1, "")) "," RULE(CELL(2, TYPE(15, 1) PROTOCOL(0))) "," RULE(CELL(2,
			TYPE(15, 1) PROTOCOL(6))) "," RULE(CELL(10, TYPE(15, 1) PROTOCOL(0))) "," RULE(CELL(10,
			TYPE(15, 1) PROTOCOL(6))) "," RULE(CELL(16, TYPE(14, 2) PROTOCOL(0))) "]}");
	/* Only what the rule's own condition leaves. */
	expect_merged("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\"],\"comment\":\"c\","
		      "\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_LT\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
		"{\"names\":[\"socket\"],\"comment\":\"c\",\"action\":\"SCMP_ACT_LOG\",\"args\":[" CELL(1, "") "]}]}");
}

/* Two conditions on one argument mean either to runtimes, which opens all: not so to what comes out. */
static void test_alternatives(void **state)
{
	(void) state;
	_cleanup_free_ char *merged = NULL;
	struct error err;
	assert_int_equal(
		merge_text("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\"],"
			   "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_GE\"},"
			   "{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_LE\"}]}]}",
			&merged, &err),
		0);
	assert_int_equal(verdict(merged, SOCKET, 2, 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(merged, SOCKET, 17, 3, 0), DENIED);
	assert_int_equal(verdict(merged, SOCKET, UINT64_C(1) << 32 | 17, 3, 0), DENIED);
}

static void test_io_uring(void **state)
{
	(void) state;
	expect_merged("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"io_uring_setup\"],\"action\":"
		      "\"SCMP_ACT_ALLOW\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"io_uring_setup\"],\"action\":\"SCMP_"
		"ACT_ERRNO\",\"errnoRet\":38}]}");
	/* A rule that says what the default says would be passed over. */
	expect_merged("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"syscalls\":[{\"names\":[\"io_"
		      "uring_setup\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"syscalls\":[]}");
}

#if defined(__x86_64__)
#define X86_PROFILE                                                                   \
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\"%s,"                                    \
	"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"%s],\"syscalls\":[" \
	"%s{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\"}]}"

static void test_socketcall(void **state)
{
	(void) state;
	static const struct {
		const char *default_errno, *rule;
	} rows[] = {
		{ "", "{\"names\":[\"socketcall\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}," },
		{ ",\"defaultErrnoRet\":38",
			"{\"names\":[\"socketcall\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1}," },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char before[500], after[500];
		(void) snprintf(before, sizeof(before), X86_PROFILE, rows[i].default_errno, ",\"SCMP_ARCH_X32\"", "");
		(void) snprintf(after, sizeof(after), X86_PROFILE, rows[i].default_errno, "", rows[i].rule);
		expect_merged(before, after);
	}
}
#endif

/* A default that permits: denials, and none of it twice. */
static void test_permissive(void **state)
{
	(void) state;
	static const struct {
		const char *action;
		uint32_t verdict;
	} rows[] = { { "ALLOW", SECCOMP_RET_ALLOW }, { "LOG", SECCOMP_RET_LOG },
		{ "TRACE", SECCOMP_RET_TRACE | EPERM } };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *merged = NULL;
		char text[500];
		struct error err;
		(void) snprintf(text, sizeof(text),
			"{\"defaultAction\":\"SCMP_ACT_%s\",\"syscalls\":["
			"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_KILL_PROCESS\",\"args\":[{\"index\":0,\"value\":"
			"40,\"op\":\"SCMP_CMP_EQ\"}]},"
			"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":97,\"args\":[{\"index\":0,"
			"\"value\":10,\"op\":\"SCMP_CMP_EQ\"}]},"
			"{\"names\":[\"io_uring_enter\"],\"action\":\"SCMP_ACT_KILL\"}]}",
			rows[i].action);
		if (merge_text(text, &merged, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(verdict(merged, SOCKET, 2, 1, 6), rows[i].verdict);
		assert_int_equal(verdict(merged, SOCKET, 1, 2, 0), rows[i].verdict);
		assert_int_equal(verdict(merged, SOCKET, 2, 2, 0), DENIED);
		assert_int_equal(verdict(merged, SOCKET, 10, 1, 0), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
		assert_int_equal(verdict(merged, SOCKET, 40, 1, 0), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(verdict(merged, IO_URING_ENTER, 0, 0, 0), SECCOMP_RET_KILL_THREAD);
		assert_int_equal(verdict(merged, IO_URING_SETUP, 0, 0, 0), ABSENT);
	}
}

/* Whoever listens may let a call be made: for what the filter denies there is nobody to ask. */
static void test_notify(void **state)
{
	(void) state;
	_cleanup_free_ char *merged = NULL;
	struct error err;
	assert_int_equal(
		merge_text("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"listenerPath\":\"/run/agent\",\"syscalls\":["
			   "{\"names\":[\"socket\",\"io_uring_setup\",\"mount\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
			&merged, &err),
		0);
	assert_non_null(strstr(merged, "\"listenerPath\":\"/run/agent\""));
	assert_non_null(strstr(merged, "{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_NOTIFY\"}"));
	assert_int_equal(verdict(merged, SOCKET, 2, 1, 0), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(verdict(merged, SOCKET, 2, 2, 0), DENIED);
	assert_int_equal(verdict(merged, IO_URING_SETUP, 0, 0, 0), ABSENT);
}

static void test_none(void **state)
{
	(void) state;
	_cleanup_free_ char *merged = NULL, *text = NULL;
	struct error err;
	size_t len;
	assert_int_equal(profile_merge(NULL, NULL, &merged, &len, &err), 0);
	text = strndup(merged, len);
	assert_int_equal(verdict(text, SOCKET, 2, 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(text, SOCKET, 2, 3, 0), DENIED);
	assert_int_equal(verdict(text, IO_URING_SETUP, 0, 0, 0), ABSENT);

	/* And null is none. */
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *again = NULL;
	static const char null[] = "{\"seccomp\":null}";
	assert_int_equal(json_parse("config.json", null, sizeof(null) - 1, false, &json, &err), 0);
	assert_int_equal(profile_merge(json, json_member(json_root(json), "seccomp"), &again, &len, &err), 0);
	assert_int_equal(strlen(text), len);
	assert_memory_equal(again, text, len);
}

/* Once more: nothing is left to take out. */
static void test_again(void **state)
{
	(void) state;
	_cleanup_free_ char *once = NULL, *twice = NULL, *thrice = NULL;
	struct error err;
	assert_int_equal(merge_text("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\",\"io_"
				    "uring_setup\"],"
				    "\"action\":\"SCMP_ACT_ALLOW\"}]}",
				 &once, &err),
		0);
	assert_int_equal(merge_text(once, &twice, &err), 0);
	assert_int_equal(merge_text(twice, &thrice, &err), 0);
	assert_string_equal(twice, thrice);
	assert_int_equal(verdict(twice, SOCKET, 2, 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(twice, SOCKET, 2, 2, 0), DENIED);
}

/* --- what has been merged once --- */

static int merge_cached(int dir, const char *text, char **ret)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *merged = NULL;
	struct error err;
	size_t len;
	assert_int_equal(json_parse("config.json", text, strlen(text), false, &json, &err), 0);
	int r = profile_merge_cached(dir, json, json_member(json_root(json), "seccomp"), &merged, &len, &err);
	if (r < 0)
		return r;
	*ret = strndup(merged, len);
	assert_non_null(*ret);
	return 0;
}

/* The one file that there is in dir. */
static void only_file(int dir, char ret[256])
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	_cleanup_closedir_ DIR *files = fdopendir(fd);
	assert_non_null(files);
	size_t n = 0;
	for (const struct dirent *entry; (entry = readdir(files));)
		if (entry->d_name[0] != '.') {
			n++;
			(void) snprintf(ret, 256, "%s", entry->d_name);
		}
	assert_int_equal(n, 1);
}

/* The new text of the file, its last byte: if it comes back changed it was taken from there. */
static void mark(int dir, const char *file, char with)
{
	_cleanup_close_ int fd = openat(dir, file, O_RDWR | O_CLOEXEC);
	struct stat st;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(pwrite(fd, &with, 1, st.st_size - 1), 1);
}

#define CACHED "{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_KILL\"%s}}"

static void test_cache(void **state)
{
	(void) state;
	char path[] = "/tmp/test_profile.XXXXXX", file[256], text[200];
	assert_non_null(mkdtemp(path));
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	_cleanup_free_ char *first = NULL, *second = NULL, *other = NULL, *third = NULL, *none = NULL;
	(void) snprintf(text, sizeof(text), CACHED, "");
	assert_int_equal(merge_cached(dir, text, &first), 0);
	only_file(dir, file);
	mark(dir, file, '?');
	assert_int_equal(merge_cached(dir, text, &second), 0);
	assert_int_equal(second[strlen(second) - 1], '?');

	/* Anybody could have written it: made anew. */
	assert_int_equal(fchmodat(dir, file, 0666, 0), 0);
	assert_int_equal(merge_cached(dir, text, &third), 0);
	assert_string_equal(first, third);
	only_file(dir, file);

	/* Another profile in its place, and one of no profile. */
	_cleanup_close_ int fd = openat(dir, file, O_RDWR | O_CLOEXEC);
	struct stat st;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(pwrite(fd, "x", 1, st.st_size - (off_t) strlen(first) - 1), 1);
	mark(dir, file, '?');
	assert_int_equal(merge_cached(dir, text, &other), 0);
	assert_string_equal(first, other);
	assert_int_equal(merge_cached(-1, "{}", &none), 0);
	only_file(dir, file);

	/* What is wrong with a profile is said each time. */
	(void) snprintf(text, sizeof(text), CACHED, ",\"Flags\":1");
	for (int i = 0; i < 2; i++)
		assert_int_equal(merge_cached(dir, text, &none), -EINVAL);
	assert_int_equal(unlinkat(dir, file, 0), 0);
	assert_int_equal(rmdir(path), 0);
}

#define E "{\"defaultAction\":\"SCMP_ACT_ERRNO\","
#define R(rule) E "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}," rule "]}"

static void test_bad(void **state)
{
	(void) state;
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "{}", "config.json:1:1: defaultAction: is missing" },
		{ "{\"defaultAction\":\"ALLOW\"}", "defaultAction: is \"ALLOW\"" },
		{ "{\"defaultAction\":null}", "defaultAction: is null" },
		{ E "\"defaultErrnoRet\":4096}", "defaultErrnoRet: is" },
		{ E "\"syscalls\":{}}", "syscalls: is an object" },
		{ E "\"syscalls\":[1]}", "syscalls[0]: is a number" },
		{ E "\"architectures\":[\"SCMP_ARCH_PDP11\"]}", "architectures[0]: is \"SCMP_ARCH_PDP11\"" },
		{ E "\"architectures\":[\"x86_64\"]}", "architectures[0]: is \"x86_64\"" },
		{ R("{\"names\":[\"bind\"]}"), "syscalls[1]: action: is missing" },
		{ R("{\"names\":[1],\"action\":\"SCMP_ACT_ALLOW\"}"), "syscalls[1].names[0]: is a number" },
		{ R("{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"value\":0,\"op\":"
		    "\"SCMP_CMP_EQ\"}]}"),
			"syscalls[1].args[0].index: is" },
		{ R("{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":-1,\"op\":"
		    "\"SCMP_CMP_EQ\"}]}"),
			"syscalls[1].args[0].value: is \"-1\"" },
		{ R("{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":"
		    "18446744073709551616,\"op\":\"SCMP_CMP_EQ\"}]}"),
			"syscalls[1].args[0].value: is \"18446744073709551616\"" },
		{ R("{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":"
		    "\"EQ\"}]}"),
			"syscalls[1].args[0].op: is \"EQ\"" },
		/* runc would read these. */
		{ E "\"Syscalls\":[]}", "Syscalls: is \"syscalls\" to some runtimes" },
		{ E "\"\xc5\xbfyscalls\":[]}", "unknown key" },
		{ R("{\"names\":[],\"NAMES\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\"}"),
			"syscalls[1].NAMES: is \"names\" to some runtimes" },
		{ R("{\"names\":[\"bind\"],\"action\":\"SCMP_ACT_ALLOW\",\"Args\":null}"),
			"syscalls[1].Args: is \"args\" to some runtimes" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_refused(rows[i].text, rows[i].message);
}

/* What cannot be made to hold is said of the rule that is in the way. */
static void test_impossible(void **state)
{
	(void) state;
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_"
		       "ACT_LOG\"},"
		       "{\"names\":[\"io_uring_setup\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":"
		       "8,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"config.json:1:90: syscalls[1]: io_uring_setup cannot be brought together with the seccomp filter");
}

#if defined(__x86_64__)
/* libseccomp 2.5.4 never returns from the rules that come of this one. */
static void test_without_end(void **state)
{
	(void) state;
	expect_refused(
		"{\"defaultAction\":\"SCMP_ACT_TRACE\",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],"
		"\"syscalls\":[{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_TRAP\",\"args\":["
		"{\"index\":1,\"value\":4294967297,\"op\":\"SCMP_CMP_NE\"},"
		"{\"index\":2,\"value\":9,\"op\":\"SCMP_CMP_NE\"},"
		"{\"index\":1,\"value\":1,\"valueTwo\":526337,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}",
		"socket cannot be brought together with the seccomp filter");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_alternatives),
		cmocka_unit_test(test_io_uring),
#if defined(__x86_64__)
		cmocka_unit_test(test_socketcall),
#endif
		cmocka_unit_test(test_permissive),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_impossible),
#if defined(__x86_64__)
		cmocka_unit_test(test_without_end),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
