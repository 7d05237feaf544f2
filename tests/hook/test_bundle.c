/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "hook/bundle.h"
#include "tests/hook/cmocka_all.h"

/* A command line, with its last NUL. */
#define FROM(text) bundle_of_command_line(text, sizeof(text))

static void as_the_runtime_was_told(void **state)
{
	(void) state;
	assert_string_equal(FROM("/usr/bin/crun\0--log\0/l\0create\0--bundle\0/b\0--pid-file\0/p\0id"), "/b");
	assert_string_equal(FROM("crun\0create\0--bundle=/b/c\0id"), "/b/c");
	assert_string_equal(FROM("crun\0run\0-b\0/b\0id"), "/b");
	assert_null(FROM("crun\0create\0id"));
	assert_null(FROM("crun\0create\0--bundle"));
	assert_null(FROM("crun\0create\0--bundle\0relative\0id"));
	assert_null(FROM("crun\0create\0--bundle=\0/b\0id"));
	assert_null(FROM("crun\0create\0--bundles\0/b"));
	assert_null(bundle_of_command_line("crun\0--bundle\0/cut", 18)); /* without its NUL */
	assert_null(bundle_of_command_line("", 0));
}

static void only_where_the_state_does_not_say(void **state)
{
	(void) state;
	char path[PATH_MAX], long_one[PATH_MAX + 2];
	struct error err;
	assert_int_equal(bundle_find("/run/b", path, &err), 0);
	assert_string_equal(path, "/run/b");
	assert_int_equal(bundle_find("/", path, &err), 0); /* whoever runs tests has no --bundle */
	assert_string_equal(path, "/");
	memset(long_one, 'b', sizeof(long_one) - 1);
	long_one[0] = '/';
	long_one[sizeof(long_one) - 1] = '\0';
	assert_true(bundle_find(long_one, path, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_runtime_was_told),
		cmocka_unit_test(only_where_the_state_does_not_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
