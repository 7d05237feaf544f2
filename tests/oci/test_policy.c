/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static char dir[] = "/tmp/test_policy.XXXXXX";

static int set_up(void **state)
{
	(void) state;
	umask(022);
	return mkdtemp(dir) && chmod(dir, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void) state;
	return rmdir(dir);
}

static const char *path(const char *leaf)
{
	static char buf[PATH_MAX];
	(void) snprintf(buf, sizeof(buf), "%s/%s", dir, leaf);
	return buf;
}

static void write_file(const char *leaf, const char *text, mode_t mode)
{
	_cleanup_close_ int fd = open(path(leaf), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
}

static int read_policy(const char *name, struct error *err)
{
	char *text = NULL, file[PATH_MAX] = "untouched";
	size_t len = 77;
	int r = policy_read(dir, name, &text, &len, file, err);
	if (r < 0) {
		assert_null(text);
		assert_int_equal(len, 77);
		assert_string_equal(file, "untouched");
		return r;
	}
	assert_string_equal(text, "{}\n");
	assert_int_equal(len, 3);
	assert_true(strncmp(file, dir, strlen(dir)) == 0);
	free(text);
	return 0;
}

static void expect_refused(const char *name, int code, const char *part)
{
	struct error err = { 0 };
	int r = read_policy(name, &err);
	if (r != code || !strstr(err.msg, part))
		fail_msg("%s: %d %s, expected %d %s", name, r, err.msg, code, part);
}

static void test_names(void **state)
{
	(void) state;
	char longest[POLICY_NAME_MAX + 2];
	memset(longest, 'a', sizeof(longest));
	longest[POLICY_NAME_MAX] = '\0';
	assert_true(policy_name_valid(longest));
	longest[POLICY_NAME_MAX] = 'a';
	longest[POLICY_NAME_MAX + 1] = '\0';
	assert_false(policy_name_valid(longest));
	static const char *const good[] = { "a", "0", "npm-2.1_x+y", "default" };
	static const char *const bad[] = { "", ".", "..", ".a", "-a", "_a", "a..b", "a/b", "/a", "a b", "a\n", "a\x80",
		"{\"allow\":[]}", "%s" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(policy_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(policy_name_valid(bad[i]));
		expect_refused(bad[i], -EINVAL, "policy name: expected 1 to 64 of");
	}
}

static void test_read(void **state)
{
	(void) state;
	struct error err = { 0 };
	write_file("good.json", "{}\n", 0644);
	assert_int_equal(read_policy("good", &err), 0);
	expect_refused("absent", -ENOENT, "/absent.json: No such file");
	assert_int_equal(unlink(path("good.json")), 0);
}

static void test_writable(void **state)
{
	(void) state;
	static const mode_t modes[] = { 0664, 0646, 0602 };
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		write_file("open.json", "{}\n", modes[i]);
		expect_refused("open", -EPERM, "open.json: mode 06");
		assert_int_equal(unlink(path("open.json")), 0);
	}
	write_file("p.json", "{}\n", 0600);
	assert_int_equal(chmod(dir, 0775), 0);
	expect_refused("p", -EPERM, ": mode 0775, expected");
	assert_int_equal(chmod(dir, 01777), 0);
	expect_refused("p", -EPERM, ": mode 1777, expected");
	assert_int_equal(chmod(dir, 0755), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path("p.json"), 12345, 0), 0);
		expect_refused("p", -EPERM, "p.json: owned by user 12345, expected root");
		assert_int_equal(chown(path("p.json"), 0, 0), 0);
		assert_int_equal(chown(dir, 12345, 0), 0);
		expect_refused("p", -EPERM, ": owned by user 12345, expected root");
		assert_int_equal(chown(dir, 0, 0), 0);
	}
	struct error err = { 0 };
	assert_int_equal(read_policy("p", &err), 0);
	assert_int_equal(unlink(path("p.json")), 0);
}

/* A FIFO, a directory, links inside and out: none is read, and none holds us up. */
static void test_kinds(void **state)
{
	(void) state;
	assert_int_equal(mkfifo(path("fifo.json"), 0600), 0);
	expect_refused("fifo", -EINVAL, "fifo.json: expected a regular file");
	assert_int_equal(mkdir(path("dir.json"), 0700), 0);
	expect_refused("dir", -EINVAL, "dir.json: expected a regular file");
	write_file("real.json", "{}\n", 0600);
	assert_int_equal(symlink("real.json", path("in.json")), 0);
	expect_refused("in", -ELOOP, "in.json: a symbolic link");
	assert_int_equal(symlink("/etc/shadow", path("out.json")), 0);
	expect_refused("out", -ELOOP, "out.json: a symbolic link");
	static const char *const leaves[] = { "fifo.json", "real.json", "in.json", "out.json" };
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		assert_int_equal(unlink(path(leaves[i])), 0);
	assert_int_equal(rmdir(path("dir.json")), 0);
}

static void test_directory(void **state)
{
	(void) state;
	char *text = NULL, file[PATH_MAX];
	size_t len;
	struct error err = { 0 };
	assert_int_equal(policy_read("/nonexistent/policies", "a", &text, &len, file, &err), -ENOENT);
	assert_string_equal(err.msg, "/nonexistent/policies: No such file or directory");
	write_file("plain", "", 0600);
	assert_int_equal(policy_read(path("plain"), "a", &text, &len, file, &err), -ENOTDIR);
	assert_int_equal(unlink(path("plain")), 0);
	char too_long[PATH_MAX + 1];
	memset(too_long, '/', PATH_MAX);
	too_long[PATH_MAX] = '\0';
	assert_int_equal(policy_read(too_long, "a", &text, &len, file, &err), -ENAMETOOLONG);
}

static void test_read_file(void **state)
{
	(void) state;
	char *text = NULL;
	size_t len = 0;
	struct error err = { 0 };
	write_file("mine.json", "{}\n", 0666);
	assert_int_equal(policy_read_file(path("mine.json"), &text, &len, &err), 0);
	assert_int_equal(len, 3);
	free(text);
	assert_int_equal(unlink(path("mine.json")), 0);
	assert_int_equal(policy_read_file(path("mine.json"), &text, &len, &err), -ENOENT);
	assert_int_equal(policy_read_file(dir, &text, &len, &err), -EISDIR);
}

static void test_too_large(void **state)
{
	(void) state;
	write_file("large.json", "{}", 0600);
	assert_int_equal(truncate(path("large.json"), (off_t) POLICY_SIZE_MAX + 1), 0);
	expect_refused("large", -EFBIG, "large.json: longer than 67108864 bytes");
	assert_int_equal(unlink(path("large.json")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_writable),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_too_large),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
