/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy on its way from JSON to an image: draft_read() reads its keys (draft.c, draft_environment.c), draft_order() its
 * lists (draft_lists.c, draft_direct.c, draft_rules.c), policy_compile() lays the image out and fills it (compile.c). A
 * list of a million entries is usual: each step is linear, but for the sorting.
 */
#pragma once

#include "base/address.h"
#include "base/error.h"
#include "oci/entry.h"
#include "oci/image.h"
#include "oci/json.h"

/* An entry on its way, without what the image has no use for: a million of them are here at a time. */
struct draft_rule {
	const char *text; /* as it is written, in the JSON */
	const char *key;  /* its canonical bytes: a part of text, or of draft_rules.keys */
	uint32_t line;
	uint32_t hash; /* image_hash() of kind and key */
	uint16_t text_len;
	uint16_t port;
	uint8_t kind; /* enum image_rule_kind */
	uint8_t list; /* enum image_list */
	uint8_t key_len;
	bool canonical; /* text is what the image keeps in front of the rules of this host */
};

struct draft_rules {
	struct draft_rule *rules; /* as the policy has them, allow first */
	uint64_t *order;          /* of those that are kept: hash << 32 | index of the rule, those of a host in a row */
	char *keys;
	size_t keys_len;
	uint32_t n;       /* rules */
	uint32_t n_order; /* without doubles */
	uint32_t n_hosts;
	uint32_t n_of[IMAGE_LIST_ALLOW + 1]; /* of each list, without doubles */
	size_t hosts_size;                   /* in the image: hosts with their rules */
	size_t texts_size;                   /* and the texts that have bytes of their own */
};

struct draft_network {
	struct image_network record;
	struct network network;
	const struct json_value *value;
};

struct draft {
	const struct json *json;
	struct image image; /* its plain numbers */
	uint32_t version;   /* of the policy's language, not of the image */
	const struct json_value *allow;
	const struct json_value *deny;
	struct draft_rules rules;
	const struct json_value *ports_array;
	const struct json_value *networks_array;
	const struct json_value *direct_array;
	uint64_t ports[(UINT16_MAX + 1) / 64]; /* one bit each */
	struct draft_network *networks;
	uint32_t n_networks;
	struct draft_network direct[IMAGE_DIRECT_MAX];
	uint32_t n_direct;
	const struct json_value *proxy;
	const struct json_value *command;
	const struct json_value *user;
	const struct json_value *set;  /* of environment: an object of strings */
	const struct json_value *keep; /* an array of strings */
};

/* Reads the keys over what holds without them. 0, -EINVAL or -ENOMEM; draft_clear() in any case. */
int draft_read(const struct json *json, enum image_on_failure on_failure, struct draft *draft, struct error *err);

/* Parses, sorts and de-duplicates ports, networks, allow and deny. */
int draft_order(struct draft *draft, struct error *err);

/* May this host be allowed? What can never be reached, or reaches the host's own services, is a mistake. */
int draft_check_floor(
	const struct draft *draft, const struct json_value *v, const struct host *host, struct error *err);

/* The part of draft_order() for direct. */
int draft_order_direct(struct draft *draft, struct error *err);

/* Reads "environment" (draft_environment.c). */
int draft_read_environment(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err);

/* "ADDRESS/PREFIX", of an array of a policy. */
int draft_parse_network(
	const struct json *json, const struct json_value *v, struct draft_network *ret, struct error *err);

/* Brings networks into the image's order, without doubles. */
void draft_sort_networks(struct draft_network *networks, uint32_t *n);

/* The part of draft_order() for allow and deny. */
int draft_order_rules(struct draft *draft, struct error *err);

/* Do both rules speak of the same host? */
bool draft_same_host(const struct draft_rule *a, const struct draft_rule *b);

void draft_clear(struct draft *draft);
#define _cleanup_draft_ __attribute__((cleanup(draft_clear)))

static inline void draft_add_port(struct draft *draft, uint32_t port)
{
	draft->ports[port / 64] |= UINT64_C(1) << port % 64;
}

/* The first port that is listed, from port on; UINT16_MAX + 1: none. */
static inline uint32_t draft_next_port(const struct draft *draft, uint32_t port)
{
	while (port <= UINT16_MAX) {
		uint64_t left = draft->ports[port / 64] >> port % 64;
		if (left)
			return port + (uint32_t) __builtin_ctzll(left);
		port = (port / 64 + 1) * 64;
	}
	return port;
}
