/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of allow and deny: parsed in their order, then brought into the image's. */
#include "oci/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "oci/entry.h"

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "compile policy");
}

static enum image_rule_kind rule_kind(const struct entry *entry)
{
	if (entry->host.kind == HOST_NAME)
		return entry->wildcard ? IMAGE_RULE_WILDCARD : IMAGE_RULE_NAME;
	return entry->host.address.family == AF_INET ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6;
}

static const char *keep_key(struct draft_rules *rules, const void *bytes, size_t len)
{
	char *to = rules->keys + rules->keys_len;
	memcpy(to, bytes, len);
	rules->keys_len += len;
	return to;
}

/* A name's bytes are mostly in the text as they must be. */
static void set_name(struct draft_rules *rules, struct draft_rule *rule, const struct host *host)
{
	uint32_t at = rule->kind == IMAGE_RULE_WILDCARD ? 2 : 0;
	rule->key_len = host->len;
	bool inside =
		(uint32_t) rule->text_len >= at + host->len && memcmp(rule->text + at, host->name, host->len) == 0;
	rule->key = inside ? rule->text + at : keep_key(rules, host->name, host->len);
	rule->canonical = inside && rule->text_len == at + host->len;
}

static void add_rule(
	struct draft_rules *rules, enum image_list list, const struct json_value *v, const struct entry *entry)
{
	struct draft_rule *rule = &rules->rules[rules->n++];
	*rule = (struct draft_rule){
		.text = v->bytes,
		.line = v->line,
		.text_len = (uint16_t) v->len,
		.port = entry->port,
		.kind = (uint8_t) rule_kind(entry),
		.list = (uint8_t) list,
	};
	if (entry->host.kind == HOST_NAME) {
		set_name(rules, rule, &entry->host);
	} else {
		rule->key_len = rule->kind == IMAGE_RULE_ADDRESS4 ? 4 : 16;
		rule->key = keep_key(rules, entry->host.address.bytes, rule->key_len);
	}
	rule->hash = image_hash(rule->kind, rule->key, rule->key_len);
}

static int add_entry(struct draft *draft, enum image_list list, const struct json_value *v, struct error *err)
{
	struct entry entry;
	char excerpt[JSON_EXCERPT_MAX];
	const char *problem = entry_parse(v->bytes, v->len, &entry);
	if (!problem && v->len > UINT16_MAX)
		problem = "too long";
	if (problem)
		return json_complain(draft->json, v, err, "%s: %s", json_excerpt(v, excerpt), problem);
	int r = list == IMAGE_LIST_ALLOW ? draft_check_floor(draft, v, &entry.host, err) : 0;
	if (r == 0)
		add_rule(&draft->rules, list, v, &entry);
	return r;
}

static int add_list(struct draft *draft, enum image_list list, const struct json_value *array, struct error *err)
{
	for (const struct json_value *v = array ? array->first : NULL; v; v = v->next) {
		int r = add_entry(draft, list, v, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a list's keys can take at most where none is a part of its text. */
static size_t keys_size(const struct json_value *array)
{
	size_t size = 0;
	for (const struct json_value *v = array ? array->first : NULL; v; v = v->next)
		size += v->len + sizeof(struct in6_addr);
	return size;
}

static int allocate(struct draft *draft, struct error *err)
{
	size_t n = (draft->allow ? draft->allow->len : 0) + (size_t) (draft->deny ? draft->deny->len : 0);
	draft->rules.rules = calloc(n, sizeof(*draft->rules.rules));
	draft->rules.order = calloc(n, sizeof(*draft->rules.order));
	draft->rules.keys = malloc(keys_size(draft->allow) + keys_size(draft->deny) + 1);
	memory_fill_soon(draft->rules.rules, n * sizeof(*draft->rules.rules));
	memory_fill_soon(draft->rules.order, n * sizeof(*draft->rules.order));
	return n == 0 || (draft->rules.rules && draft->rules.order && draft->rules.keys) ? 0 : no_memory(err);
}

static int compare_host(const struct draft_rule *a, const struct draft_rule *b)
{
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->key_len != b->key_len)
		return a->key_len < b->key_len ? -1 : 1;
	return memcmp(a->key, b->key, a->key_len);
}

bool draft_same_host(const struct draft_rule *a, const struct draft_rule *b)
{
	return compare_host(a, b) == 0;
}

static int compare_rule(const struct draft_rule *a, const struct draft_rule *b)
{
	int order = compare_host(a, b);
	if (order)
		return order;
	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	return a->port < b->port ? -1 : a->port > b->port;
}

static int compare_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
	return x < y ? -1 : x > y;
}

/* Of equal ones the first of the policy comes first. */
static int compare_in_full(const void *a, const void *b, void *rules)
{
	const struct draft_rule *all = rules;
	int order = compare_rule(&all[(uint32_t) * (const uint64_t *) a], &all[(uint32_t) * (const uint64_t *) b]);
	return order ? order : compare_order(a, b);
}

/* What a rule takes in the image: */
static size_t text_size(const struct draft_rule *rule)
{
	return rule->canonical ? 0 : (size_t) rule->text_len + 1;
}

static void keep_rule(struct draft_rules *rules, uint64_t order, const struct draft_rule *before)
{
	const struct draft_rule *rule = &rules->rules[(uint32_t) order];
	if (before && compare_rule(before, rule) == 0)
		return;
	if (!before || !draft_same_host(before, rule)) {
		rules->n_hosts++;
		rules->hosts_size += image_host_head(rule->kind, rule->key_len);
	}
	rules->order[rules->n_order++] = order;
	rules->n_of[rule->list]++;
	rules->hosts_size += sizeof(struct image_rule);
	rules->texts_size += text_size(rule);
}

#define RADIX_BITS 8
#define RADIX_FROM 4096 /* below, qsort(3) is as fast */

/* One pass of a radix sort: by the digit at shift, those with the same digit as they were. */
static void sort_digit(const uint64_t *from, uint64_t *to, uint32_t n, unsigned shift)
{
	uint32_t at[1 << RADIX_BITS] = { 0 };
	const uint64_t mask = ARRAY_SIZE(at) - 1;
	for (uint32_t i = 0; i < n; i++)
		at[from[i] >> shift & mask]++;
	for (uint32_t digit = 0, sum = 0; digit < ARRAY_SIZE(at); digit++) {
		uint32_t count = at[digit];
		at[digit] = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++)
		to[at[from[i] >> shift & mask]++] = from[i];
}

/* The lower halves are in order already; four passes, so that the last one ends where the first one began. */
static bool sort_by_hash(uint64_t *order, uint32_t n)
{
	if (n < RADIX_FROM) {
		qsort(order, n, sizeof(*order), compare_order);
		return true;
	}
	_cleanup_free_ uint64_t *spare = malloc(n * sizeof(*spare));
	if (!spare)
		return false;
	memory_fill_soon(spare, n * sizeof(*spare));
	for (unsigned shift = 32; shift < 64; shift += 16) {
		sort_digit(order, spare, n, shift);
		sort_digit(spare, order, n, shift + 8);
	}
	return true;
}

/*
 * Sorted by hash, eight bytes at a time; only where hashes are equal, of entries for one host and a few others, does
 * anybody look at the entries themselves.
 */
static int order_rules(struct draft_rules *rules, struct error *err)
{
	for (uint32_t i = 0; i < rules->n; i++)
		rules->order[i] = (uint64_t) rules->rules[i].hash << 32 | i;
	if (!sort_by_hash(rules->order, rules->n))
		return no_memory(err);

	for (uint32_t from = 0, to; from < rules->n; from = to) {
		for (to = from + 1; to < rules->n && rules->order[to] >> 32 == rules->order[from] >> 32;)
			to++;
		if (to - from > 1)
			qsort_r(&rules->order[from], to - from, sizeof(*rules->order), compare_in_full, rules->rules);
		const struct draft_rule *before = NULL;
		for (uint32_t i = from; i < to; i++) {
			uint64_t order = rules->order[i];
			keep_rule(rules, order, before);
			before = &rules->rules[(uint32_t) order];
		}
	}
	return 0;
}

int draft_order_rules(struct draft *draft, struct error *err)
{
	int r = allocate(draft, err);
	if (r == 0)
		r = add_list(draft, IMAGE_LIST_ALLOW, draft->allow, err);
	if (r == 0)
		r = add_list(draft, IMAGE_LIST_DENY, draft->deny, err);
	if (r == 0)
		r = order_rules(&draft->rules, err);
	return r;
}
