/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "proxy/timers.h"

static void test_order(void **state)
{
	(void) state;
	struct timers timers;
	enum timer_kind kind;
	struct timer a = { 0 }, b = { 0 }, c = { 0 };
	timers_init(&timers);
	assert_true(timers_next(&timers) == INT64_MAX);
	timers_start(&timers, &a, TIMER_CONNECT, 30);
	timers_start(&timers, &b, TIMER_CONNECT, 10); /* not in the order in which they were started */
	timers_start(&timers, &c, TIMER_IDLE, 20);
	assert_int_equal(timers_next(&timers), 10);
	assert_null(timers_take_due(&timers, 9, &kind));
	assert_ptr_equal(timers_take_due(&timers, 10, &kind), &b);
	assert_null(timers_take_due(&timers, 10, &kind));
	assert_int_equal(timers_next(&timers), 20);
	assert_non_null(timers_take_due(&timers, 100, &kind));
	assert_non_null(timers_take_due(&timers, 100, &kind));
	assert_null(timers_take_due(&timers, 100, &kind));
}

static void test_stop_and_start_again(void **state)
{
	(void) state;
	struct timers timers;
	enum timer_kind kind;
	struct timer a = { 0 }, b = { 0 };
	timers_init(&timers);
	timers_start(&timers, &a, TIMER_HEAD, 10);
	timers_start(&timers, &b, TIMER_HEAD, 10);
	timers_start(&timers, &a, TIMER_IDLE, 50);
	timers_stop(&timers, &b);
	timers_stop(&timers, &b);
	assert_int_equal(timers_next(&timers), 50);
	assert_ptr_equal(timers_take_due(&timers, 50, &kind), &a);
	assert_int_equal(kind, TIMER_IDLE);
	assert_true(timers_next(&timers) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_stop_and_start_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
