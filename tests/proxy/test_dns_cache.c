/* SPDX-License-Identifier: Apache-2.0 */
/* By a clock that the tests turn. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dns_cache.h"

#define START_MS INT64_C(5000)
#define S 1000

static struct dns_answer addresses(uint32_t ttl_s, unsigned n, sa_family_t family)
{
	struct dns_answer answer = { .verdict = DNS_ADDRESSES, .has_ttl = true, .ttl_s = ttl_s, .n = (uint8_t) n };
	for (unsigned i = 0; i < n; i++) {
		answer.addresses[i] = (struct address){ .family = family };
		memset(answer.addresses[i].bytes, (int) (i + 1), family == AF_INET ? 4 : 16);
	}
	return answer;
}

static bool is_known(struct dns_cache *cache, const char *name, int64_t now_ms)
{
	struct dns_answer answer;
	return dns_cache_get(cache, name, DNS_A, now_ms, &answer);
}

static void put(struct dns_cache *cache, const char *name, uint32_t ttl_s, int64_t now_ms)
{
	const struct dns_answer answer = addresses(ttl_s, 1, AF_INET);
	dns_cache_put(cache, name, DNS_A, &answer, now_ms);
}

static void test_what_is_put_is_got(void **state)
{
	(void) state;
	struct dns_cache cache = { 0 };
	for (unsigned n = 1; n <= DNS_ADDRESSES_MAX; n++) {
		for (int six = 0; six < 2; six++) {
			const struct dns_answer in = addresses(60, n, six ? AF_INET6 : AF_INET);
			struct dns_answer out;
			dns_cache_put(&cache, "a.test", six ? DNS_AAAA : DNS_A, &in, START_MS);
			assert_true(dns_cache_get(&cache, "a.test", six ? DNS_AAAA : DNS_A, START_MS, &out));
			assert_int_equal(out.verdict, DNS_ADDRESSES);
			assert_int_equal(out.n, n);
			for (unsigned i = 0; i < n; i++)
				assert_true(address_equal(&in.addresses[i], &out.addresses[i]));
		}
		assert_int_equal(cache.n, 2);
	}
	assert_false(is_known(&cache, "b.test", START_MS));
	assert_false(is_known(&cache, "a.tes", START_MS));
	dns_cache_clear(&cache);
	assert_false(is_known(&cache, "a.test", START_MS));
	assert_int_equal(cache.n, 0);
	assert_int_equal(cache.bytes, 0);
	assert_null(cache.buckets);
}

/* How many milliseconds it is known. */
static int64_t lifetime(const struct dns_answer *answer)
{
	struct dns_cache cache = { 0 };
	int64_t ms = 0;
	dns_cache_put(&cache, "a.test", DNS_A, answer, START_MS);
	while (is_known(&cache, "a.test", START_MS + ms))
		ms += 500;
	if (ms > 0) {
		/* to the millisecond */
		dns_cache_put(&cache, "a.test", DNS_A, answer, START_MS);
		assert_true(is_known(&cache, "a.test", START_MS + ms - 1));
	}
	dns_cache_clear(&cache);
	return ms;
}

static void test_times_to_live(void **state)
{
	(void) state;
	const struct {
		struct dns_answer answer;
		int64_t expected_ms;
	} rows[] = {
		{ addresses(0, 1, AF_INET), 0 },
		{ addresses(1, 1, AF_INET), 1 * S },
		{ addresses(300, 1, AF_INET), 300 * S },
		{ addresses(3600, 1, AF_INET), 3600 * S },
		{ addresses(3601, 1, AF_INET), 3600 * S },
		{ addresses(INT32_MAX, 1, AF_INET), 3600 * S },
		{ { .verdict = DNS_NONE, .has_ttl = true, .ttl_s = 0 }, 0 },
		{ { .verdict = DNS_NONE, .has_ttl = true, .ttl_s = 30 }, 30 * S },
		{ { .verdict = DNS_NONE, .has_ttl = true, .ttl_s = 86400 }, 60 * S },
		{ { .verdict = DNS_NONE, .has_ttl = true, .ttl_s = UINT32_MAX }, 60 * S },
		{ { .verdict = DNS_NONE }, 5 * S },
		{ { .verdict = DNS_FAILED }, 1 * S },
		{ { .verdict = DNS_SILENT }, 1 * S },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(lifetime(&rows[i].answer), rows[i].expected_ms);
}

static void test_a_new_answer_replaces(void **state)
{
	(void) state;
	struct dns_cache cache = { 0 };
	struct dns_answer answer, none = { .verdict = DNS_NONE, .has_ttl = true, .ttl_s = 10 };
	put(&cache, "a.test", 60, START_MS);
	dns_cache_put(&cache, "a.test", DNS_A, &none, START_MS + 1 * S);
	assert_true(dns_cache_get(&cache, "a.test", DNS_A, START_MS + 2 * S, &answer));
	assert_int_equal(answer.verdict, DNS_NONE);
	assert_int_equal(cache.n, 1);
	/* also where it is not kept itself */
	put(&cache, "a.test", 0, START_MS + 2 * S);
	assert_false(is_known(&cache, "a.test", START_MS + 2 * S));
	assert_int_equal(cache.n, 0);
}

static const char *numbered(unsigned i, size_t len)
{
	static char name[256];
	(void) snprintf(name, sizeof(name), "%0*u.test", (int) (len - 5), i);
	return name;
}

static void test_the_oldest_makes_room(void **state)
{
	(void) state;
	struct dns_cache cache = { 0 };
	for (unsigned i = 0; i < DNS_CACHE_ENTRIES_MAX + 100; i++) {
		put(&cache, numbered(i, 20), 600, START_MS + i);
		assert_in_range(cache.n, 1, DNS_CACHE_ENTRIES_MAX);
	}
	assert_int_equal(cache.n, DNS_CACHE_ENTRIES_MAX);
	for (unsigned i = 0; i < DNS_CACHE_ENTRIES_MAX + 100; i++)
		assert_int_equal(is_known(&cache, numbered(i, 20), START_MS + 2000), i >= 100);
	dns_cache_clear(&cache);
}

static void test_bytes_are_bounded(void **state)
{
	(void) state;
	struct dns_cache cache = { 0 };
	const struct dns_answer large = addresses(600, DNS_ADDRESSES_MAX, AF_INET6);
	size_t most = 0;
	for (unsigned i = 0; i < 2000; i++) {
		const char *name = numbered(i, 253);
		dns_cache_put(&cache, name, DNS_AAAA, &large, START_MS);
		assert_in_range(cache.bytes, 1, DNS_CACHE_BYTES_MAX);
		most = cache.n > most ? cache.n : most;
	}
	/* that they are counted, and not too many for one */
	assert_in_range(most, DNS_CACHE_BYTES_MAX / 512, DNS_CACHE_BYTES_MAX / (253 + 128));
	dns_cache_clear(&cache);
	assert_int_equal(cache.bytes, 0);
}

static void test_what_has_expired_makes_room_first(void **state)
{
	(void) state;
	struct dns_cache cache = { 0 };
	put(&cache, "old.test", 600, START_MS);
	for (unsigned i = 1; i < DNS_CACHE_ENTRIES_MAX; i++)
		put(&cache, numbered(i, 20), i % 2 ? 10 : 600, START_MS);
	assert_int_equal(cache.n, DNS_CACHE_ENTRIES_MAX);
	put(&cache, "new.test", 600, START_MS + 10 * S);
	assert_true(is_known(&cache, "old.test", START_MS + 10 * S));
	assert_true(is_known(&cache, "new.test", START_MS + 10 * S));
	assert_int_equal(cache.n, DNS_CACHE_ENTRIES_MAX / 2 + 1);
	assert_true(is_known(&cache, numbered(2, 20), START_MS + 10 * S));
	dns_cache_clear(&cache);
}

/* Against a list, with names, times and answers by chance. */
static void test_random(void **state)
{
	(void) state;
	static struct {
		int64_t expiry_ms;
		unsigned n;
	} model[64];
	struct dns_cache cache = { 0 };
	int64_t now_ms = START_MS;
	memset(model, 0, sizeof(model));
	srandom(1);
	for (int i = 0; i < 100000; i++) {
		unsigned who = (unsigned) random() % 64;
		char name[16];
		(void) snprintf(name, sizeof(name), "n%u.test", who);
		now_ms += random() % 200;
		if (random() % 2) {
			uint32_t ttl_s = (uint32_t) random() % 20;
			unsigned n = 1 + (unsigned) random() % DNS_ADDRESSES_MAX;
			const struct dns_answer answer = addresses(ttl_s, n, AF_INET);
			dns_cache_put(&cache, name, DNS_A, &answer, now_ms);
			model[who].expiry_ms = now_ms + (int64_t) ttl_s * S;
			model[who].n = n;
		}
		struct dns_answer answer;
		bool known = dns_cache_get(&cache, name, DNS_A, now_ms, &answer);
		assert_int_equal(known, model[who].expiry_ms > now_ms);
		assert_true(!known || answer.n == model[who].n);
	}
	dns_cache_clear(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_put_is_got),
		cmocka_unit_test(test_times_to_live),
		cmocka_unit_test(test_a_new_answer_replaces),
		cmocka_unit_test(test_the_oldest_makes_room),
		cmocka_unit_test(test_bytes_are_bounded),
		cmocka_unit_test(test_what_has_expired_makes_room_first),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
