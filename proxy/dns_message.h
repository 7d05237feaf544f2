/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035 section 4): the question for the addresses of a name, and what an answer to it says. Answers
 * are hostile: read in bounded time, whatever they hold.
 *
 * No EDNS (RFC 6891): nothing that it carries is of use here, some servers still stumble over it, and an answer of at
 * most 512 bytes comes in one packet, so that nobody can slip a forged second fragment under it. What does not fit in
 * comes truncated and is asked for again over TCP.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define DNS_QUERY_MAX (12 + 255 + 4)

/* What an answer has beyond is never looked at, so never dialled. */
#define DNS_ADDRESSES_MAX 8
#define DNS_RECORDS_MAX 128
#define DNS_ALIASES_MAX 8 /* CNAMEs in a row */

enum dns_type {
	DNS_A = 1,
	DNS_AAAA = 28,
};

/* What is worse is greater. */
enum dns_verdict {
	DNS_ADDRESSES,
	DNS_NONE,    /* there is no such name, or it has no address of this type */
	DNS_SILENT,  /* nobody answered: not a parser's verdict */
	DNS_FAILED,  /* the server failed or refused, or what it sent is no answer to the question */
	DNS_UNASKED, /* this machine lacks what it takes to ask: not a parser's verdict */
};

struct dns_answer {
	enum dns_verdict verdict;
	bool has_ttl; /* DNS_NONE: a SOA record said how long that holds (RFC 2308 section 5) */
	uint8_t n;
	uint32_t ttl_s; /* the shortest of all records that led here */
	struct address addresses[DNS_ADDRESSES_MAX];
};

/* A question that wants recursion. Returns its length, or 0 where name (no trailing dot) is no DNS name. */
size_t dns_write_query(const char *name, enum dns_type type, uint16_t id, uint8_t buf[DNS_QUERY_MAX]);

/* Are bytes an answer to query, one of dns_write_query(): same id, same question (RFC 5452 section 9.1)? */
bool dns_is_answer(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len);

/* Does this answer lack what did not fit in? */
bool dns_is_truncated(const uint8_t *bytes);

/* What bytes say as the answer to query. One that is truncated says nothing where no address is in it. */
void dns_parse_answer(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len, struct dns_answer *ret);
