/* SPDX-License-Identifier: Apache-2.0 */
/* Ports and networks of a policy, and what allow may say beside them. */
#include "oci/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define NETWORKS_MAX 1024 /* they are searched one by one, for each address that lies in the floor */

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "compile policy");
}

/* An external proxy is the policy: rules of ours that nobody follows would only look like walls. */
static int refuse_rules(const struct draft *draft, struct error *err)
{
	const struct json_value *beside[] = { draft->allow, draft->deny, draft->ports_array, draft->networks_array };
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
			draft_add_port(draft, standard[i]);
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
		draft_add_port(draft, (uint32_t) port);
	}
	return 0;
}

static int compare_networks(const void *a, const void *b)
{
	const struct draft_network *x = a, *y = b;
	int order = image_network_compare(&x->record, &y->record);
	return order ? order : x->value->offset < y->value->offset ? -1 : 1;
}

int draft_parse_network(
	const struct json *json, const struct json_value *v, struct draft_network *ret, struct error *err)
{
	struct draft_network n = { .value = v };
	const char *problem = network_parse(v->bytes, v->len, &n.network);
	if (!problem && n.network.prefix == 0)
		problem = "everything: name the ranges that are meant";
	char excerpt[JSON_EXCERPT_MAX];
	if (problem)
		return json_complain(json, v, err, "%s: %s", json_excerpt(v, excerpt), problem);
	n.record =
		(struct image_network){ .family = n.network.base.family, .prefix = n.network.prefix, .line = v->line };
	memcpy(n.record.bytes, n.network.base.bytes, sizeof(n.record.bytes));
	*ret = n;
	return 0;
}

void draft_sort_networks(struct draft_network *networks, uint32_t *n)
{
	if (*n == 0)
		return;
	qsort(networks, *n, sizeof(*networks), compare_networks);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < *n; i++)
		if (image_network_compare(&networks[kept - 1].record, &networks[i].record) != 0)
			networks[kept++] = networks[i];
	*n = kept;
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
		int r = draft_parse_network(draft->json, v, &draft->networks[draft->n_networks], err);
		if (r < 0)
			return r;
		draft->n_networks++;
	}
	draft_sort_networks(draft->networks, &draft->n_networks);
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

int draft_check_floor(const struct draft *draft, const struct json_value *v, const struct host *host, struct error *err)
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

int draft_order(struct draft *draft, struct error *err)
{
	int r = draft_order_direct(draft, err);
	if (r < 0)
		return r;
	if (draft->proxy)
		return refuse_rules(draft, err);
	r = add_ports(draft, err);
	if (r == 0)
		r = add_networks(draft, err);
	if (r == 0)
		r = draft_order_rules(draft, err);
	return r;
}
