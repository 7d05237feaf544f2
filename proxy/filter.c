/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/filter.h"

#include <string.h>

#define LINE 64 /* of the processor's caches */
#define PREFETCH_MAX (4 * LINE)

/* What a question asks for: a host that rules may be about, and where in the image it would be. */
struct query {
	enum image_rule_kind kind;
	const void *key;
	size_t len;
	uint32_t at, end; /* its bucket */
	const struct image_host *host;
};

/* Asks for the lines of the bucket that are likely to be read. */
static void query_start(const struct image *image, struct query *query)
{
	if (!image_hosts(image, image_hash(query->kind, query->key, query->len), &query->at, &query->end))
		return;
	for (uint32_t at = query->at; at < query->end && at < query->at + PREFETCH_MAX; at += LINE)
		__builtin_prefetch((const char *) image + at);
}

static void query_finish(const struct image *image, struct query *query)
{
	const struct image_host *host;
	while (query->at < query->end && (host = image_host_at(image, &query->at, query->end)))
		if (host->key_len == query->len && host->kind == query->kind &&
			memcmp(image_host_key(host), query->key, query->len) == 0) {
			query->host = host;
			return;
		}
}

/* What matches a host: itself, and for a name of two labels or more the wildcard above it. Returns how many. */
static size_t host_queries(const struct host *host, struct query queries[2])
{
	if (host->kind == HOST_ADDRESS) {
		bool four = host->address.family == AF_INET;
		queries[0] = (struct query){ four ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6, host->address.bytes,
			four ? 4 : 16, 0, 0, NULL };
		return 1;
	}
	queries[0] = (struct query){ IMAGE_RULE_NAME, host->name, host->len, 0, 0, NULL };

	/* One label and no more stands for the asterisk: a name matches only what follows its own first label. */
	const char *dot = memchr(host->name, '.', host->len);
	if (!dot)
		return 1;
	size_t above = (size_t) (dot - host->name) + 1;
	queries[1] = (struct query){ IMAGE_RULE_WILDCARD, host->name + above, host->len - above, 0, 0, NULL };
	return 2;
}

/* How many rules come before (list, port). */
static size_t rules_before(const struct image_host *host, enum image_list list, uint16_t port)
{
	const struct image_rule *rules = image_host_rules(host);
	size_t low = 0, high = host->n_rules;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct image_rule *rule = &rules[middle];
		if (rule->list < list || (rule->list == list && rule->port < port))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first rule whose port is port or more: NULL where there is none. */
static const struct image_rule *rule_search(const struct image_host *host, enum image_list list, uint16_t port)
{
	if (!host)
		return NULL;
	size_t at = rules_before(host, list, port);
	const struct image_rule *rule = &image_host_rules(host)[at];
	return at < host->n_rules && rule->list == list ? rule : NULL;
}

/* The rule of exactly this port. */
static const struct image_rule *rule_find(const struct image_host *host, enum image_list list, uint16_t port)
{
	const struct image_rule *rule = rule_search(host, list, port);
	return rule && rule->port == port ? rule : NULL;
}

static bool is_policy_port(const struct image *image, uint16_t port)
{
	const uint16_t *ports = image_records(image, image->ports);
	size_t low = 0, high = image->ports.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (ports[middle] == port)
			return true;
		if (ports[middle] < port)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static const struct image_rule *deny_rule(const struct image_host *host, uint16_t port)
{
	if (!host || host->n_rules == 0 || image_host_rules(host)->list != IMAGE_LIST_DENY) /* they come first */
		return NULL;
	const struct image_rule *rule = rule_find(host, IMAGE_LIST_DENY, 0);
	return rule ? rule : rule_find(host, IMAGE_LIST_DENY, port);
}

static const struct image_rule *allow_rule(const struct image *image, const struct image_host *host, uint16_t port)
{
	if (!host)
		return NULL;
	const struct image_rule *rule = is_policy_port(image, port) ? rule_find(host, IMAGE_LIST_ALLOW, 0) : NULL;
	return rule ? rule : rule_find(host, IMAGE_LIST_ALLOW, port);
}

/* Both look-ups at once: where the caches are cold, one waits for the memory as long as two. */
static size_t look_up(const struct image *image, const struct host *host, struct query queries[2])
{
	size_t n = host_queries(host, queries);
	for (size_t i = 0; i < n; i++)
		query_start(image, &queries[i]);
	for (size_t i = 0; i < n; i++)
		query_finish(image, &queries[i]);
	return n;
}

static struct decision decide(const struct image *image, const struct host *host, uint16_t port)
{
	struct query queries[2];
	size_t n = look_up(image, host, queries);
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = deny_rule(queries[i].host, port);
		if (rule)
			return (struct decision){ REASON_DENIED, rule };
	}
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = allow_rule(image, queries[i].host, port);
		if (rule)
			return (struct decision){ REASON_ALLOWED, rule };
	}
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = rule_search(queries[i].host, IMAGE_LIST_ALLOW, 0);
		if (rule)
			return (struct decision){ REASON_PORT_NOT_LISTED, rule };
	}
	return (struct decision){ REASON_NOT_LISTED, NULL };
}

struct decision filter_decide(const struct image *image, const struct host *host, uint16_t port)
{
	if (port == 0) /* in a rule it means all of them: nobody may ask for it */
		return (struct decision){ REASON_PORT_NOT_LISTED, NULL };

	struct decision decision = decide(image, host, port);
	if (decision.rule && !image_text_inside(image, decision.rule->text))
		return (struct decision){ REASON_NOT_LISTED, NULL }; /* a broken image */
	return decision;
}

static bool image_network_contains(const struct image_network *entry, const struct address *address)
{
	struct network network = { .base.family = entry->family, .prefix = (uint8_t) entry->prefix };
	memcpy(network.base.bytes, entry->bytes, sizeof(network.base.bytes));
	return entry->prefix <= 128 && network_contains(&network, address);
}

enum reason filter_check_address(
	const struct image *image, const struct address *address, const struct image_network **ret_network)
{
	const struct image_network *networks = image_records(image, image->networks);
	const struct image_network *found = NULL;

	/* A mapped address is dialled as IPv4: "::/0" must not open what only an IPv4 entry opens. */
	bool floor = address_floor(address) != NULL;
	if (floor && !address_is_mapped(address))
		for (uint32_t i = 0; i < image->networks.count && !found; i++)
			if (image_network_contains(&networks[i], address))
				found = &networks[i];

	if (ret_network)
		*ret_network = found;
	return floor && !found ? REASON_ADDRESS_FORBIDDEN : REASON_ALLOWED;
}
