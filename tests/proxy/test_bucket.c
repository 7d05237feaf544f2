/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "proxy/bucket.h"

static void test_it_fills_at_its_rate(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	assert_int_equal(bucket_level(&bucket, 1000, 5000), 1000 / BUCKET_PART);
	bucket_take(&bucket, 250);
	assert_int_equal(bucket_level(&bucket, 1000, 5000), 0);
	assert_int_equal(bucket_when_ms(&bucket, 1000, 20), 5020);
	assert_int_equal(bucket_level(&bucket, 1000, 5019), 19);
	assert_int_equal(bucket_level(&bucket, 1000, 5020), 20);
	assert_int_equal(bucket_level(&bucket, 1000, 5000000), 250); /* no more is saved up */
}

static void test_less_than_one_per_millisecond_is_not_lost(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	assert_int_equal(bucket_level(&bucket, 3, 1), 1); /* one always fits in */
	bucket_take(&bucket, 1);
	int64_t due_ms = bucket_when_ms(&bucket, 3, 1);
	assert_int_equal(due_ms, 1 + 334);
	for (int64_t now = 2; now < due_ms; now++)
		assert_int_equal(bucket_level(&bucket, 3, now), 0);
	assert_int_equal(bucket_level(&bucket, 3, due_ms), 1);
}

static void test_debt_is_paid(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	(void) bucket_level(&bucket, 1000, 1);
	bucket_take(&bucket, 1250);
	assert_true(bucket_level(&bucket, 1000, 1) < 0);
	assert_int_equal(bucket_when_ms(&bucket, 1000, 1), 1002);
	assert_int_equal(bucket_level(&bucket, 1000, 1002), 1);
}

static void test_more_than_fits_in_is_not_waited_for(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	(void) bucket_level(&bucket, 1000, 1);
	assert_int_equal(bucket_when_ms(&bucket, 1000, 100000), 1);
}

static void test_the_rate_may_change(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	assert_int_equal(bucket_level(&bucket, 1000000, 1), 250000);
	assert_int_equal(bucket_level(&bucket, 100, 1), 25);
	assert_int_equal(bucket_level(&bucket, 1000000, 2), 1025);
}

static void test_the_largest(void **state)
{
	(void) state;
	struct bucket bucket = { 0 };
	assert_int_equal(bucket_level(&bucket, UINT32_MAX, 1), UINT32_MAX / BUCKET_PART);
	for (int i = 0; i < 1000; i++)
		bucket_take(&bucket, UINT32_MAX);
	assert_int_equal(bucket_level(&bucket, UINT32_MAX, INT64_MAX / 2), UINT32_MAX / BUCKET_PART);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_fills_at_its_rate),
		cmocka_unit_test(test_less_than_one_per_millisecond_is_not_lost),
		cmocka_unit_test(test_debt_is_paid),
		cmocka_unit_test(test_more_than_fits_in_is_not_waited_for),
		cmocka_unit_test(test_the_rate_may_change),
		cmocka_unit_test(test_the_largest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
