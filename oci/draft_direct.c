/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy opens past the proxy. */
#include <string.h>

#include "base/cleanup.h"
#include "oci/draft.h"

/* RFC 1918 and link-local; loopback needs no entry. */
static const struct network lan[] = {
	{ { AF_INET, { 10 } }, 8 },
	{ { AF_INET, { 172, 16 } }, 12 },
	{ { AF_INET, { 192, 168 } }, 16 },
	{ { AF_INET, { 169, 254 } }, 16 },
	{ { AF_INET6, { 0xfe, 0x80 } }, 10 },
};

static int add(struct draft *draft, const struct draft_network *network, struct error *err)
{
	if (draft->n_direct == IMAGE_DIRECT_MAX)
		return json_complain(draft->json, draft->direct_array, err,
			"has too many networks, expected at most %d (\"lan\" is %zu)", IMAGE_DIRECT_MAX,
			ARRAY_SIZE(lan));
	draft->direct[draft->n_direct++] = *network;
	return 0;
}

static int add_lan(struct draft *draft, const struct json_value *v, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(lan); i++) {
		struct draft_network network = {
			.record = { .family = lan[i].base.family, .prefix = lan[i].prefix, .line = v->line },
			.network = lan[i],
			.value = v,
		};
		memcpy(network.record.bytes, lan[i].base.bytes, sizeof(network.record.bytes));
		int r = add(draft, &network, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_multicast(const struct network *network)
{
	return network->base.family == AF_INET ? network->base.bytes[0] >> 4 == 0xe && network->prefix >= 4
					       : network->base.bytes[0] == 0xff && network->prefix >= 8;
}

static int add_entry(struct draft *draft, const struct json_value *v, struct error *err)
{
	struct draft_network network;
	char excerpt[JSON_EXCERPT_MAX];
	if (json_is(v, "lan"))
		return add_lan(draft, v, err);
	int r = draft_parse_network(draft->json, v, &network, err);
	if (r < 0)
		return r;
	if (is_multicast(&network.network))
		return json_complain(
			draft->json, v, err, "%s: multicast, which cannot be opened", json_excerpt(v, excerpt));
	return add(draft, &network, err);
}

int draft_order_direct(struct draft *draft, struct error *err)
{
	for (const struct json_value *v = draft->direct_array ? draft->direct_array->first : NULL; v; v = v->next) {
		int r = add_entry(draft, v, err);
		if (r < 0)
			return r;
	}
	draft_sort_networks(draft->direct, &draft->n_direct);
	return 0;
}
