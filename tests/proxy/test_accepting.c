/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "proxy/accepting.h"

/* A pause that is over, but for a lack of room, is none that time ends: the loop would wake up again and again. */
static void test_when_a_pause_ends(void **state)
{
	(void) state;
	struct conns conns = { .epoll = -1, .now_ms = 1000 };
	struct accepting accepting = { .conns = &conns, .listener.fd = -1, .max = 2, .resume_ms = 900 };
	assert_true(accepting_next_ms(&accepting) == INT64_MAX);
	accepting.paused = true;
	assert_true(accepting_next_ms(&accepting) == 900);

	conns.n = 2;
	accepting_resume(&accepting);
	assert_true(accepting.paused);
	assert_true(accepting_next_ms(&accepting) == INT64_MAX);

	conns.n = 1;
	assert_true(accepting_next_ms(&accepting) == 900);
	accepting_resume(&accepting);
	assert_false(accepting.paused);
	assert_true(accepting_next_ms(&accepting) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_when_a_pause_ends) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
