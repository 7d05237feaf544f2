/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/openlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/hook/cmocka_all.h"
#include "tests/hook/place.h"

#define MAX_BYTES (4 << 20)

static const struct record record = { .id = "c1", .policy = "p", .reason = "no \"room\"" };

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

static off_t size_of(const char *name)
{
	struct stat st;
	return stat(name, &st) == 0 ? st.st_size : -1;
}

static void writes_a_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	openlog_write(*state, &record);
	off_t one = size_of("c1.log");
	openlog_write(*state, &record);
	assert_int_equal(size_of("c1.log"), 2 * one);

	_cleanup_close_ int fd = open("c1.log", O_RDONLY | O_CLOEXEC);
	assert_int_equal(io_read_all(fd, 4096, &text, &len, NULL), 0);
	assert_non_null(strstr(text,
		"\"container\":\"c1\",\"policy\":\"p\",\"verdict\":\"open\",\"reason\":\"no \\u0022room\\u0022\"}"));
	assert_int_equal(text[one - 1], '\n');
}

static void keeps_one_older_file(void **state)
{
	openlog_write(*state, &record);
	off_t one = size_of("c1.log");

	assert_return_code(truncate("c1.log", MAX_BYTES - one), 0);
	openlog_write(*state, &record); /* fits, to the byte */
	assert_int_equal(size_of("c1.log"), MAX_BYTES);
	assert_int_equal(size_of("c1.log.1"), -1);
	for (int i = 0; i < 2; i++) {
		assert_return_code(truncate("c1.log", MAX_BYTES - one + 1), 0);
		openlog_write(*state, &record);
		assert_int_equal(size_of("c1.log"), one);
		assert_int_equal(size_of("c1.log.1"), MAX_BYTES - one + 1);
	}
	assert_int_equal(size_of("c1.log.1.1"), -1);
}

static void writes_names_to_the_log_that_is_shared(void **state)
{
	static const struct record named = {
		.id = "c2",
		.log = "c1",
		.policy = "p",
		.names = { .namespace = "shop", .pod = "web-1", .container = "app" },
	};
	_cleanup_free_ char *text = NULL;
	size_t len;

	openlog_write_names(*state, &named);
	assert_int_equal(size_of("c2.log"), -1);
	_cleanup_close_ int fd = open("c1.log", O_RDONLY | O_CLOEXEC);
	assert_int_equal(io_read_all(fd, 4096, &text, &len, NULL), 0);
	assert_non_null(strstr(text,
		"Z\",\"container\":\"c2\",\"policy\":\"p\",\"event\":\"started\",\"namespace\":\"shop\",\"pod\":"
		"\"web-1\",\"name\":\"app\"}\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_a_line, enter, leave),
		cmocka_unit_test_setup_teardown(keeps_one_older_file, enter, leave),
		cmocka_unit_test_setup_teardown(writes_names_to_the_log_that_is_shared, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
