/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX 100000

struct ends {
	int read, write;
};

static struct ends pipe_make(const char *text, size_t len)
{
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	assert_int_equal(write(fds[1], text, len), len);
	return (struct ends){ fds[0], fds[1] };
}

static void to_the_end(void **state)
{
	(void) state;
	char *big = calloc(1, MAX + 1), *text = NULL;
	assert_non_null(big);
	for (size_t len = 0; len <= MAX; len = len * 7 + 1) {
		struct ends ends = pipe_make(big, len);
		close(ends.write);
		size_t got = 1;
		assert_int_equal(io_read_all_within(ends.read, MAX, 1000, &text, &got, NULL), 0);
		assert_int_equal(got, len);
		assert_int_equal(text[got], '\0');
		free(text);
		close(ends.read);
	}
	free(big);
}

/* What is too much is read all the same: its writer must not get EPIPE. */
static void too_long(void **state)
{
	(void) state;
	struct error err;
	char *big = calloc(1, MAX + 1), *text = NULL;
	assert_non_null(big);
	struct ends ends = pipe_make(big, MAX + 1);
	close(ends.write);
	size_t len;
	assert_int_equal(io_read_all(ends.read, MAX, &text, &len, &err), -EFBIG);
	assert_null(text);
	assert_int_equal(read(ends.read, big, 1), 0);
	close(ends.read);
	free(big);
}

static void no_end(void **state)
{
	(void) state;
	struct error err;
	char *text = NULL;
	size_t len;
	struct ends ends = pipe_make("text", 4);
	assert_int_equal(io_read_all_within(ends.read, MAX, 10, &text, &len, &err), -ETIMEDOUT);
	assert_int_equal(io_read_all_within(ends.read, 3, 10, &text, &len, &err), -ETIMEDOUT);
	assert_null(text);
	close(ends.read);
	close(ends.write);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_the_end),
		cmocka_unit_test(too_long),
		cmocka_unit_test(no_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
