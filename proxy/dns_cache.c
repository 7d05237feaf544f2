/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/dns_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define BUCKETS 256
#define MALLOC_OVERHEAD 16

/* Its bytes: the name and its NUL, then the addresses, 4 or 16 bytes each. */
struct dns_entry {
	TAILQ_ENTRY(dns_entry) entry;
	struct dns_entry *next; /* of the same bucket */
	int64_t expiry_ms;
	uint8_t verdict, type, n, name_len;
	uint8_t bytes[];
};

static size_t address_len(enum dns_type type)
{
	return type == DNS_A ? 4 : 16;
}

static size_t entry_size(size_t name_len, enum dns_type type, size_t n)
{
	return offsetof(struct dns_entry, bytes) + name_len + 1 + n * address_len(type);
}

static size_t entry_cost(const struct dns_entry *entry)
{
	return entry_size(entry->name_len, entry->type, entry->n) + MALLOC_OVERHEAD;
}

/* Whoever chooses names that collide finds no more entries in his way than there may be in all. */
static uint32_t bucket_of(const char *name, enum dns_type type)
{
	uint32_t h = HASH_INIT ^ (uint32_t) type;
	for (; *name; name++)
		h = hash_add(h, (unsigned char) *name);
	return (h ^ h >> 16) % BUCKETS;
}

static struct dns_entry **find(struct dns_cache *cache, const char *name, enum dns_type type)
{
	struct dns_entry **at = &cache->buckets[bucket_of(name, type)];
	while (*at && ((*at)->type != type || strcmp((const char *) (*at)->bytes, name) != 0))
		at = &(*at)->next;
	return at;
}

static void drop_at(struct dns_cache *cache, struct dns_entry **at)
{
	struct dns_entry *entry = *at;
	*at = entry->next;
	TAILQ_REMOVE(&cache->entries, entry, entry);
	cache->n--;
	cache->bytes -= entry_cost(entry);
	free(entry);
	if (cache->n == 0) {
		free(cache->buckets);
		cache->buckets = NULL;
	}
}

static void drop(struct dns_cache *cache, const struct dns_entry *entry)
{
	drop_at(cache, find(cache, (const char *) entry->bytes, entry->type));
}

bool dns_cache_get(
	struct dns_cache *cache, const char *name, enum dns_type type, int64_t now_ms, struct dns_answer *ret_answer)
{
	struct dns_entry **at = cache->buckets ? find(cache, name, type) : NULL;
	const struct dns_entry *entry = at ? *at : NULL;
	if (!entry)
		return false;
	if (entry->expiry_ms <= now_ms) {
		drop_at(cache, at);
		return false;
	}
	*ret_answer = (struct dns_answer){ .verdict = entry->verdict, .n = entry->n };
	const uint8_t *p = entry->bytes + entry->name_len + 1;
	for (size_t i = 0; i < entry->n; i++, p += address_len(type)) {
		ret_answer->addresses[i].family = type == DNS_A ? AF_INET : AF_INET6;
		memcpy(ret_answer->addresses[i].bytes, p, address_len(type));
	}
	return true;
}

static int64_t lifetime_s(const struct dns_answer *answer)
{
	int64_t most = answer->verdict == DNS_ADDRESSES ? DNS_CACHE_ADDRESSES_S : DNS_CACHE_NONE_S;
	switch (answer->verdict) {
	case DNS_ADDRESSES:
	case DNS_NONE:
		if (!answer->has_ttl)
			return DNS_CACHE_UNTOLD_S;
		return answer->ttl_s < most ? answer->ttl_s : most;
	case DNS_UNASKED:
		return 0; /* nothing was learnt */
	default:
		return DNS_CACHE_FAILURE_S;
	}
}

static struct dns_entry *new_entry(const char *name, enum dns_type type, const struct dns_answer *answer)
{
	size_t name_len = strlen(name);
	if (name_len > UINT8_MAX)
		return NULL;
	struct dns_entry *entry = malloc(entry_size(name_len, type, answer->n));
	if (!entry)
		return NULL;
	entry->verdict = (uint8_t) answer->verdict;
	entry->type = (uint8_t) type;
	entry->n = answer->n;
	entry->name_len = (uint8_t) name_len;
	memcpy(entry->bytes, name, name_len + 1);
	uint8_t *p = entry->bytes + name_len + 1;
	for (size_t i = 0; i < answer->n; i++, p += address_len(type))
		memcpy(p, answer->addresses[i].bytes, address_len(type));
	return entry;
}

static void drop_expired(struct dns_cache *cache, int64_t now_ms)
{
	struct dns_entry *entry = TAILQ_FIRST(&cache->entries);
	cache->first_expiry_ms = INT64_MAX;
	while (entry) {
		struct dns_entry *next = TAILQ_NEXT(entry, entry);
		if (entry->expiry_ms <= now_ms)
			drop(cache, entry);
		else if (entry->expiry_ms < cache->first_expiry_ms)
			cache->first_expiry_ms = entry->expiry_ms;
		entry = next;
	}
}

static bool has_room(const struct dns_cache *cache, size_t cost)
{
	return cache->n < DNS_CACHE_ENTRIES_MAX && cache->bytes + cost <= DNS_CACHE_BYTES_MAX;
}

static void make_room(struct dns_cache *cache, size_t cost, int64_t now_ms)
{
	if (!has_room(cache, cost) && cache->first_expiry_ms <= now_ms)
		drop_expired(cache, now_ms);
	while (!has_room(cache, cost))
		drop(cache, TAILQ_FIRST(&cache->entries));
}

/* Where the first entry goes. */
static bool open_buckets(struct dns_cache *cache)
{
	if (cache->buckets)
		return true;
	cache->buckets = calloc(BUCKETS, sizeof(*cache->buckets));
	TAILQ_INIT(&cache->entries);
	cache->first_expiry_ms = INT64_MAX;
	return cache->buckets != NULL;
}

void dns_cache_put(
	struct dns_cache *cache, const char *name, enum dns_type type, const struct dns_answer *answer, int64_t now_ms)
{
	struct dns_entry **known = cache->buckets ? find(cache, name, type) : NULL;
	if (known && *known)
		drop_at(cache, known);
	int64_t lifetime_ms = lifetime_s(answer) * 1000;
	struct dns_entry *entry = lifetime_ms > 0 ? new_entry(name, type, answer) : NULL;
	if (!entry)
		return;
	if (cache->buckets)
		make_room(cache, entry_cost(entry), now_ms);
	if (!open_buckets(cache)) {
		free(entry);
		return;
	}
	entry->expiry_ms = now_ms + lifetime_ms;
	if (entry->expiry_ms < cache->first_expiry_ms)
		cache->first_expiry_ms = entry->expiry_ms;
	struct dns_entry **at = &cache->buckets[bucket_of(name, type)];
	entry->next = *at;
	*at = entry;
	TAILQ_INSERT_TAIL(&cache->entries, entry, entry);
	cache->n++;
	cache->bytes += entry_cost(entry);
}

void dns_cache_clear(struct dns_cache *cache)
{
	while (cache->n > 0)
		drop(cache, TAILQ_FIRST(&cache->entries));
}
