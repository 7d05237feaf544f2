/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "hook/options.h"
#include "tests/hook/cmocka_all.h"

static const char *dir;
static bool json;

static const struct option_row rows[] = {
	{ "dir", "DIR", "a directory", &dir, NULL },
	{ "json", NULL, "as JSON", NULL, &json },
	{ 0 },
};

/* Leaves argv's operands in place, and their number, argv[0] included, in argc. */
static int argc;

static int parse(const char **argv, struct error *err)
{
	for (argc = 0; argv[argc];)
		argc++;
	dir = NULL;
	json = false;
	return options_parse(&argc, (char **) (size_t) argv, rows, err);
}

static void takes_values_and_flags(void **state)
{
	(void) state;
	const char *before[] = { "c", "--dir", "/a", "--json", "x", NULL };
	assert_int_equal(parse(before, NULL), 0);
	assert_string_equal(dir, "/a");
	assert_true(json);
	assert_int_equal(argc, 2);
	assert_string_equal(before[1], "x");

	const char *behind[] = { "c", "x", "--dir=/b=c", "-", "--", "--json", NULL };
	assert_int_equal(parse(behind, NULL), 0);
	assert_string_equal(dir, "/b=c");
	assert_false(json);
	assert_int_equal(argc, 4);
	assert_string_equal(behind[1], "x");
	assert_string_equal(behind[2], "-");
	assert_string_equal(behind[3], "--json");
}

static void refuses_what_it_does_not_know(void **state)
{
	(void) state;
	const char *bad[][4] = {
		{ "c", "--dri", "/a", NULL },
		{ "c", "--dir", NULL },
		{ "c", "--json=1", NULL },
		{ "c", "-d", NULL },
		{ "c", "--di", "/a", NULL },
		{ "c", "--dirs", "/a", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };
		assert_int_equal(parse(bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "option"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_values_and_flags),
		cmocka_unit_test(refuses_what_it_does_not_know),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
