/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What name servers have said, for as long as it holds (RFC 1035 section 7.4, RFC 2308): of each name and type apart,
 * since each has its own time to live. All zero to begin with; has no memory while it is empty. Bounded in entries and
 * in bytes, whatever is put into it: what has expired makes room first, then what was put in first.
 *
 * Only answers are kept, no permissions: whoever uses an address checks it anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/dns_message.h"

#define DNS_CACHE_ENTRIES_MAX 1024
#define DNS_CACHE_BYTES_MAX (128u << 10) /* those of 1,024 names as they are */

/* A wrong answer does not outlive the hour, and a question an hour costs nothing. */
#define DNS_CACHE_ADDRESSES_S 3600
/* People create a name and try again. */
#define DNS_CACHE_NONE_S 60
/*
 * Nothing said for how long: RFC 2308 section 5 would not keep it, lest servers hand it on to each other for ever; here
 * it ends. Forwarders say so of every name without IPv6, which would be asked for at each connection.
 */
#define DNS_CACHE_UNTOLD_S 5
/* The least of RFC 9520 section 3.2: servers that have come back shall be believed at once. */
#define DNS_CACHE_FAILURE_S 1

struct dns_entry;

struct dns_cache {
	TAILQ_HEAD(dns_entries, dns_entry) entries; /* the oldest first */
	struct dns_entry **buckets;                 /* NULL: there are none */
	size_t n, bytes;
	int64_t first_expiry_ms; /* none is earlier */
};

/* False: nothing that holds is known. *ret_answer's ttl_s is not set. */
bool dns_cache_get(
	struct dns_cache *cache, const char *name, enum dns_type type, int64_t now_ms, struct dns_answer *ret_answer);

/* Instead of what was known. An answer whose TTL is 0 is for those who asked, and not kept. */
void dns_cache_put(
	struct dns_cache *cache, const char *name, enum dns_type type, const struct dns_answer *answer, int64_t now_ms);

void dns_cache_clear(struct dns_cache *cache);
