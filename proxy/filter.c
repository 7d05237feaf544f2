/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/filter.h"

#include <string.h>

/* What the tables are sorted by, oci/image.h. */
struct rule_key {
	enum image_rule_kind kind;
	const void *bytes;
	size_t len;
};

static int compare_number(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

static int compare_key(const struct image *image, const struct rule_key *key, const struct image_rule *rule)
{
	int order = compare_number(key->kind, rule->kind);
	if (order == 0)
		order = compare_number(key->len, rule->key.len);
	if (order == 0)
		order = memcmp(key->bytes, image_string(image, rule->key), key->len);
	return order;
}

/* The first rule of this key whose port is port or more: NULL where there is none. */
static const struct image_rule *rule_search(
	const struct image *image, struct image_table table, const struct rule_key *key, uint16_t port)
{
	const struct image_rule *rules = image_records(image, table);
	size_t low = 0, high = table.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_key(image, key, &rules[middle]);
		if (order == 0)
			order = compare_number(port, rules[middle].port);
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table.count && compare_key(image, key, &rules[low]) == 0 ? &rules[low] : NULL;
}

/* The rule of exactly this key and port. */
static const struct image_rule *rule_find(
	const struct image *image, struct image_table table, const struct rule_key *key, uint16_t port)
{
	const struct image_rule *rule = rule_search(image, table, key, port);
	return rule && rule->port == port ? rule : NULL;
}

/* The keys that match a host: itself, and for a name of two labels or more the wildcard above it. Returns how many. */
static size_t host_keys(const struct host *host, struct rule_key keys[2])
{
	if (host->kind == HOST_ADDRESS) {
		bool four = host->address.family == AF_INET;
		keys[0] = (struct rule_key){ four ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6, host->address.bytes,
			four ? 4 : 16 };
		return 1;
	}
	keys[0] = (struct rule_key){ IMAGE_RULE_NAME, host->name, host->len };

	/* One label and no more stands for the asterisk: a name matches only what follows its own first label. */
	const char *dot = memchr(host->name, '.', host->len);
	if (!dot)
		return 1;
	size_t above = (size_t) (dot - host->name) + 1;
	keys[1] = (struct rule_key){ IMAGE_RULE_WILDCARD, host->name + above, host->len - above };
	return 2;
}

static bool is_policy_port(const struct image *image, uint16_t port)
{
	const uint16_t *ports = image_records(image, image->ports);
	for (uint32_t i = 0; i < image->ports.count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static const struct image_rule *deny_rule(const struct image *image, const struct rule_key *key, uint16_t port)
{
	const struct image_rule *rule = rule_find(image, image->deny, key, 0);
	return rule ? rule : rule_find(image, image->deny, key, port);
}

static const struct image_rule *allow_rule(const struct image *image, const struct rule_key *key, uint16_t port)
{
	const struct image_rule *rule = is_policy_port(image, port) ? rule_find(image, image->allow, key, 0) : NULL;
	return rule ? rule : rule_find(image, image->allow, key, port);
}

struct decision filter_decide(const struct image *image, const struct host *host, uint16_t port)
{
	if (port == 0) /* in a rule it means all of them: nobody may ask for it */
		return (struct decision){ REASON_PORT_NOT_LISTED, NULL };

	struct rule_key keys[2];
	size_t n = host_keys(host, keys);
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = deny_rule(image, &keys[i], port);
		if (rule)
			return (struct decision){ REASON_DENIED, rule };
	}
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = allow_rule(image, &keys[i], port);
		if (rule)
			return (struct decision){ REASON_ALLOWED, rule };
	}
	for (size_t i = 0; i < n; i++) {
		const struct image_rule *rule = rule_search(image, image->allow, &keys[i], 0);
		if (rule)
			return (struct decision){ REASON_PORT_NOT_LISTED, rule };
	}
	return (struct decision){ REASON_NOT_LISTED, NULL };
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
