/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>

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

/* Against the plain way: the least of all that run. */
static void test_any_order(void **state)
{
	(void) state;
	enum { N = 64, STEPS = 20000 };
	struct timers timers;
	struct timer all[N] = { 0 };
	int64_t due_ms[N];
	enum timer_kind kind;
	uint32_t random = 1;
	timers_init(&timers);
	for (int step = 0; step < STEPS; step++) {
		random = random * 1664525u + 1013904223u;
		unsigned i = random >> 16 & (N - 1), least = N;
		if (random >> 30 == 0)
			timers_stop(&timers, &all[i]);
		else
			timers_start(&timers, &all[i], TIMER_HEAD, due_ms[i] = random >> 22 & 127);
		for (unsigned k = 0; k < N; k++)
			if (timer_kind(&all[k]) && (least == N || due_ms[k] < due_ms[least]))
				least = k;
		assert_true(timers_next(&timers) == (least < N ? due_ms[least] : INT64_MAX));
		if (random >> 24 & 1 || least == N)
			continue;
		assert_null(timers_take_due(&timers, due_ms[least] - 1, &kind));
		const struct timer *taken = timers_take_due(&timers, due_ms[least], &kind);
		assert_int_equal(due_ms[taken - all], due_ms[least]);
	}
}

/* As many as would take minutes, were each compared with those that are due after it. */
static void test_many(void **state)
{
	(void) state;
	enum { N = 200000 };
	struct timers timers;
	struct timer *all = calloc(N, sizeof(*all));
	enum timer_kind kind;
	timers_init(&timers);
	for (int i = 0; i < N; i++)
		timers_start(&timers, &all[i], TIMER_IDLE, N - i);
	for (int i = 0; i < N; i++)
		timers_start(&timers, &all[i], TIMER_IDLE, 2 * N + (i * 7919LL) % N);
	for (int i = 0; i < N; i++)
		assert_non_null(timers_take_due(&timers, 2 * N + i, &kind));
	assert_null(timers_take_due(&timers, INT64_MAX, &kind));
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_stop_and_start_again),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
