/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/trusted.h"
#include "tests/hook/cmocka_all.h"
#include "tests/hook/place.h"

static int enter(void **state)
{
	*state = place_enter();
	return 0;
}

static int leave(void **state)
{
	place_leave(*state);
	return 0;
}

static int read_it(const char *name, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	return trusted_read(AT_FDCWD, name, name, 16, &text, &len, err);
}

static void reads_only_what_is_roots(void **state)
{
	(void) state;
	struct error err;
	place_write("good", "text");
	assert_int_equal(read_it("good", &err), 0);
	assert_int_equal(read_it("missing", &err), -ENOENT);

	place_write("long", "0123456789abcdef0");
	assert_int_equal(read_it("long", &err), -EFBIG);
	assert_non_null(strstr(err.msg, "long"));

	assert_return_code(symlink("good", "link"), 0);
	assert_int_equal(read_it("link", &err), -ELOOP);

	assert_return_code(mkfifo("fifo", 0600), 0);
	assert_int_equal(read_it("fifo", &err), -EINVAL); /* at once, with nobody at its other end */

	assert_return_code(mkdir("dir", 0700), 0);
	assert_int_equal(read_it("dir", &err), -EINVAL);

	assert_return_code(chmod("good", 0620), 0);
	assert_int_equal(read_it("good", &err), -EPERM);
	assert_return_code(chmod("good", 0644), 0);
	assert_int_equal(read_it("good", &err), 0);
	assert_return_code(chown("good", 1000, 0), 0);
	assert_int_equal(read_it("good", &err), -EPERM);
	assert_non_null(strstr(err.msg, "uid 1000"));
}

static void opens_only_directories_that_are_roots(void **state)
{
	(void) state;
	struct error err;
	_cleanup_close_ int fd = -1;
	assert_return_code(mkdir("dir", 0755), 0);
	assert_int_equal(trusted_open_dir("dir", &fd, &err), 0);

	int none = -7;
	assert_return_code(chown("dir", 1000, 1000), 0);
	assert_int_equal(trusted_open_dir("dir", &none, &err), -EPERM);
	assert_int_equal(trusted_open_dir_of("dir", 1001, &none, &err), -EPERM);
	_cleanup_close_ int theirs = -1;
	assert_int_equal(trusted_open_dir_of("dir", 1000, &theirs, &err), 0);
	assert_return_code(chmod("dir", 0777), 0);
	assert_int_equal(trusted_open_dir_of("dir", 1000, &none, &err), -EPERM);
	place_write("file", "");
	assert_int_equal(trusted_open_dir("file", &none, &err), -ENOTDIR);
	assert_int_equal(none, -7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_only_what_is_roots, enter, leave),
		cmocka_unit_test_setup_teardown(opens_only_directories_that_are_roots, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
