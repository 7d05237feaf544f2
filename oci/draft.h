/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy on its way from JSON to an image: draft_read() reads its keys, draft_order() puts its lists in order
 * (draft_lists.c), policy_compile() lays the image out and fills it (compile.c). A list of a million entries is usual:
 * each step is linear, but for the sorting.
 */
#pragma once

#include "base/address.h"
#include "base/error.h"
#include "oci/image.h"
#include "oci/json.h"

/* An entry on its way: key.offset counts from its list's keys. */
struct draft_rule {
	struct image_rule rule;
	const struct json_value *value;
};

struct draft_list {
	const struct json_value *array; /* NULL: the policy has none */
	struct draft_rule *rules;
	char *keys;
	uint32_t keys_len;
	uint32_t n;
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
	struct draft_list allow;
	struct draft_list deny;
	const struct json_value *ports_array;
	const struct json_value *networks_array;
	uint8_t ports[(UINT16_MAX + 1) / 8]; /* one bit each */
	struct draft_network *networks;
	uint32_t n_networks;
	const struct json_value *proxy;
	const struct json_value *command;
	const struct json_value *user;
};

/* Reads the keys over what holds without them. 0, -EINVAL or -ENOMEM; draft_clear() in any case. */
int draft_read(const struct json *json, enum image_on_failure on_failure, struct draft *draft, struct error *err);

/* Parses, sorts and de-duplicates ports, networks, allow and deny. */
int draft_order(struct draft *draft, struct error *err);

void draft_clear(struct draft *draft);
#define _cleanup_draft_ __attribute__((cleanup(draft_clear)))

static inline bool draft_has_port(const struct draft *draft, uint32_t port)
{
	return draft->ports[port / 8] >> port % 8 & 1;
}
