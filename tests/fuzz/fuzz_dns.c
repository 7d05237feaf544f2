/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of name servers, as they are, and behind the header's id and the question that make them answers to what was
 * asked. What is made of one is put into a cache and must come out of it again.
 *
 * Input: a byte for the type, then the message; for the second reading 8 bytes of flags and counts, then the records.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dns_cache.h"
#include "proxy/dns_message.h"

#define NAME "www.a.test"
#define COUNTS 8 /* flags, answers, authorities, additional records */

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool is_same(const struct dns_answer *a, const struct dns_answer *b)
{
	return a->verdict == b->verdict && a->n == b->n &&
	       memcmp(a->addresses, b->addresses, a->n * sizeof(a->addresses[0])) == 0;
}

static void remember(enum dns_type type, const struct dns_answer *answer)
{
	struct dns_cache cache = { 0 };
	struct dns_answer known;
	dns_cache_put(&cache, NAME, type, answer, 0);
	bool is_known = dns_cache_get(&cache, NAME, type, 999, &known);
	check(is_known == !(answer->has_ttl && answer->ttl_s == 0));
	check(!is_known || is_same(answer, &known));
	check(!dns_cache_get(&cache, NAME, type, (int64_t) DNS_CACHE_ADDRESSES_S * 1000, &known));
	dns_cache_clear(&cache);
}

static void read_answer(enum dns_type type, const uint8_t *bytes, size_t len)
{
	uint8_t query[DNS_QUERY_MAX];
	size_t query_len = dns_write_query(NAME, type, 0x1234, query);
	struct dns_answer answer, again;
	dns_parse_answer(bytes, len, query, query_len, &answer);
	dns_parse_answer(bytes, len, query, query_len, &again);
	check(is_same(&answer, &again));
	check(answer.verdict == DNS_ADDRESSES || answer.verdict == DNS_NONE || answer.verdict == DNS_FAILED);
	check(answer.n <= DNS_ADDRESSES_MAX && (answer.n > 0) == (answer.verdict == DNS_ADDRESSES));
	check(answer.verdict == DNS_FAILED || dns_is_answer(bytes, len, query, query_len));
	check(answer.has_ttl || answer.verdict != DNS_ADDRESSES);
	for (int i = 0; i < answer.n; i++)
		check(answer.addresses[i].family == (type == DNS_A ? AF_INET : AF_INET6));
	remember(type, &answer);
}

/* Exactly as long as it is: a byte too far is seen. */
static uint8_t *copy(const uint8_t *bytes, size_t len, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	check(p != NULL);
	if (len)
		memcpy(p, bytes, len);
	return p;
}

static void read_records(enum dns_type type, const uint8_t *data, size_t size)
{
	uint8_t query[DNS_QUERY_MAX];
	size_t query_len = dns_write_query(NAME, type, 0x1234, query), len = query_len + size - COUNTS;
	uint8_t *message = copy(query, query_len, len);
	memcpy(message + 2, data, 2);
	memcpy(message + 6, data + 2, 6);
	memcpy(message + query_len, data + COUNTS, size - COUNTS);
	read_answer(type, message, len);
	free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum dns_type type = data[0] & 1 ? DNS_A : DNS_AAAA;
	uint8_t *message = copy(data + 1, size - 1, size - 1);
	read_answer(type, message, size - 1);
	free(message);
	if (size > COUNTS)
		read_records(type, data + 1, size - 1);
	return 0;
}
