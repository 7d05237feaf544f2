/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of a policy. */
#include "oci/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/entry.h"

#define NETWORKS_MAX 1024 /* they are searched one by one, for each address that lies in the floor */

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "compile policy");
}

/* An external proxy is the policy: rules of ours that nobody follows would only look like walls. */
static int refuse_rules(const struct draft *draft, struct error *err)
{
	const struct json_value *beside[] = { draft->allow.array, draft->deny.array, draft->ports_array,
		draft->networks_array };
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++)
		if (beside[i])
			return json_complain_key(draft->json, beside[i], err,
				"cannot stand beside \"proxy\": the external proxy decides alone; remove one of the "
				"two");
	return 0;
}

static int add_ports(struct draft *draft, struct error *err)
{
	static const uint16_t standard[] = { 80, 443 };
	const struct json_value *array = draft->ports_array;
	if (!array) {
		for (size_t i = 0; i < ARRAY_SIZE(standard); i++)
			draft->ports[standard[i] / 8] |= (uint8_t) (1u << standard[i] % 8);
		return 0;
	}
	if (array->len == 0)
		return json_complain(
			draft->json, array, err, "is empty, expected a non-empty array of integers from 1 to 65535");
	for (const struct json_value *v = array->first; v; v = v->next) {
		int64_t port;
		if (!json_int64(v, &port) || port < 1 || port > UINT16_MAX)
			return json_complain(draft->json, v, err, "is %.*s, expected an integer from 1 to 65535",
				v->len > 32 ? 32 : (int) v->len, v->bytes);
		draft->ports[port / 8] |= (uint8_t) (1u << port % 8);
	}
	return 0;
}

static int compare_networks(const void *a, const void *b)
{
	const struct draft_network *x = a, *y = b;
	int order = image_network_compare(&x->record, &y->record);
	return order ? order : x->value->offset < y->value->offset ? -1 : 1;
}

static int add_network(struct draft *draft, const struct json_value *v, struct error *err)
{
	struct draft_network *n = &draft->networks[draft->n_networks++];
	const char *problem = network_parse(v->bytes, v->len, &n->network);
	if (!problem && n->network.prefix == 0)
		problem = "everything: name the ranges that are meant";
	char excerpt[JSON_EXCERPT_MAX];
	if (problem)
		return json_complain(draft->json, v, err, "%s: %s", json_excerpt(v, excerpt), problem);
	n->value = v;
	n->record = (struct image_network){
		.family = n->network.base.family, .prefix = n->network.prefix, .line = v->line
	};
	memcpy(n->record.bytes, n->network.base.bytes, sizeof(n->record.bytes));
	return 0;
}

static int add_networks(struct draft *draft, struct error *err)
{
	const struct json_value *array = draft->networks_array;
	if (!array || array->len == 0)
		return 0;
	if (array->len > NETWORKS_MAX)
		return json_complain(
			draft->json, array, err, "has %u ranges, expected at most %d", array->len, NETWORKS_MAX);
	draft->networks = calloc(array->len, sizeof(*draft->networks));
	if (!draft->networks)
		return no_memory(err);
	for (const struct json_value *v = array->first; v; v = v->next) {
		int r = add_network(draft, v, err);
		if (r < 0)
			return r;
	}
	qsort(draft->networks, draft->n_networks, sizeof(*draft->networks), compare_networks);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < draft->n_networks; i++)
		if (image_network_compare(&draft->networks[kept - 1].record, &draft->networks[i].record) != 0)
			draft->networks[kept++] = draft->networks[i];
	draft->n_networks = kept;
	return 0;
}

static bool in_networks(const struct draft *draft, const struct address *address)
{
	for (uint32_t i = 0; i < draft->n_networks; i++)
		if (network_contains(&draft->networks[i].network, address))
			return true;
	return false;
}

/* RFC 6761 section 6.3: these names are loopback, whatever a name server says. */
static bool is_localhost(const struct host *host)
{
	static const char name[] = "localhost";
	size_t len = strlen(name);
	if (host->kind != HOST_NAME || host->len < len || memcmp(host->name + host->len - len, name, len) != 0)
		return false;
	return host->len == len || host->name[host->len - len - 1] == '.';
}

/* An allowed entry that can never be reached is a mistake, and one that reaches the host's own services a worse one. */
static int check_floor(
	const struct draft *draft, const struct json_value *v, const struct host *host, struct error *err)
{
	static const struct address loopback4 = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
	static const struct address loopback6 = { .family = AF_INET6, .bytes = { [15] = 1 } };
	char excerpt[JSON_EXCERPT_MAX];
	if (is_localhost(host) && !in_networks(draft, &loopback4) && !in_networks(draft, &loopback6))
		return json_complain(draft->json, v, err,
			"%s: the host's own loopback, which is refused unless \"networks\" lists it",
			json_excerpt(v, excerpt));
	const struct network *floor = host->kind == HOST_ADDRESS ? address_floor(&host->address) : NULL;
	if (!floor || in_networks(draft, &host->address))
		return 0;
	char range[NETWORK_TEXT_MAX];
	network_format(floor, range);
	return json_complain(draft->json, v, err, "%s: lies in %s, which is refused unless \"networks\" lists it",
		json_excerpt(v, excerpt), range);
}

static enum image_rule_kind rule_kind(const struct entry *entry)
{
	if (entry->host.kind == HOST_NAME)
		return entry->wildcard ? IMAGE_RULE_WILDCARD : IMAGE_RULE_NAME;
	return entry->host.address.family == AF_INET ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6;
}

static void add_rule(struct draft_list *list, const struct json_value *v, const struct entry *entry)
{
	enum image_rule_kind kind = rule_kind(entry);
	const void *key = entry->host.kind == HOST_NAME ? (const void *) entry->host.name : entry->host.address.bytes;
	uint32_t len = kind == IMAGE_RULE_ADDRESS4 ? 4 : kind == IMAGE_RULE_ADDRESS6 ? 16 : entry->host.len;
	memcpy(list->keys + list->keys_len, key, len);
	list->rules[list->n++] = (struct draft_rule){
		.rule = { .kind = (uint16_t) kind,
			.port = entry->port,
			.line = v->line,
			.key = { .offset = list->keys_len, .len = len } },
		.value = v,
	};
	list->keys_len += len;
}

static int compare_rules(const void *a, const void *b, void *keys)
{
	const struct draft_rule *x = a, *y = b;
	int order = image_rule_compare(keys, &x->rule, &y->rule);
	return order ? order : x->value->offset < y->value->offset ? -1 : 1;
}

static void order_rules(struct draft_list *list)
{
	qsort_r(list->rules, list->n, sizeof(*list->rules), compare_rules, list->keys);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < list->n; i++)
		if (image_rule_compare(list->keys, &list->rules[kept - 1].rule, &list->rules[i].rule) != 0)
			list->rules[kept++] = list->rules[i]; /* of equal ones the first in the file */
	list->n = kept;
}

static int allocate_list(struct draft_list *list, struct error *err)
{
	size_t keys_size = 0;
	for (const struct json_value *v = list->array->first; v; v = v->next)
		keys_size += v->len + sizeof(struct in6_addr); /* a key is no longer than its entry, or an address */
	list->rules = calloc(list->array->len, sizeof(*list->rules));
	list->keys = malloc(keys_size);
	return list->rules && list->keys ? 0 : no_memory(err);
}

static int add_list(struct draft *draft, struct draft_list *list, struct error *err)
{
	if (!list->array || list->array->len == 0)
		return 0;
	int r = allocate_list(list, err);
	if (r < 0)
		return r;
	for (const struct json_value *v = list->array->first; v; v = v->next) {
		struct entry entry;
		char excerpt[JSON_EXCERPT_MAX];
		const char *problem = entry_parse(v->bytes, v->len, &entry);
		if (problem)
			return json_complain(draft->json, v, err, "%s: %s", json_excerpt(v, excerpt), problem);
		r = list == &draft->allow ? check_floor(draft, v, &entry.host, err) : 0;
		if (r < 0)
			return r;
		add_rule(list, v, &entry);
	}
	order_rules(list);
	return 0;
}

int draft_order(struct draft *draft, struct error *err)
{
	if (draft->proxy)
		return refuse_rules(draft, err);
	int r = add_ports(draft, err);
	if (r == 0)
		r = add_networks(draft, err);
	if (r == 0)
		r = add_list(draft, &draft->allow, err);
	if (r == 0)
		r = add_list(draft, &draft->deny, err);
	return r;
}
