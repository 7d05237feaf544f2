/* SPDX-License-Identifier: Apache-2.0 */
/* What image_check() leaves to those who ask, checked from end to end: is an image as the compiler has to make it? */
#pragma once

#include <string.h>

#include "base/host.h"
#include "oci/image.h"

static inline bool flaw_text_good(const struct image *image, struct image_text text)
{
	return image_text_inside(image, text) && strlen(image_string(image, text)) == text.len;
}

static inline const char *flaw_of_rules(const struct image *image, const struct image_host *host, uint32_t count[3])
{
	const struct image_rule *rule = image_host_rules(host);
	for (uint32_t i = 0; i < host->n_rules; i++) {
		if (rule[i].list != IMAGE_LIST_ALLOW && rule[i].list != IMAGE_LIST_DENY)
			return "list";
		if (!flaw_text_good(image, rule[i].text) || rule[i].text.len == 0 || rule[i].line == 0)
			return "rule";
		if (i > 0 && (rule[i - 1].list > rule[i].list ||
				     (rule[i - 1].list == rule[i].list && rule[i - 1].port >= rule[i].port)))
			return "order of rules";
		count[rule[i].list]++;
	}
	return host->n_rules == 0 ? "host without rules" : NULL;
}

static inline const char *flaw_of_host(const struct image_host *host)
{
	static const uint8_t lens[] = { [IMAGE_RULE_ADDRESS4] = 4, [IMAGE_RULE_ADDRESS6] = 16 };
	const char *key = image_host_key(host);
	if (host->kind < IMAGE_RULE_NAME || host->kind > IMAGE_RULE_ADDRESS6 || host->zero || key[host->key_len])
		return "host";
	if (host->kind >= IMAGE_RULE_ADDRESS4)
		return host->key_len == lens[host->kind] ? NULL : "address";
	if (host->kind == IMAGE_RULE_WILDCARD && memcmp(host->bytes, "*.", 2) != 0)
		return "asterisk";
	struct host canonical;
	if (host_parse(key, host->key_len, &canonical) || strcmp(canonical.name, key) != 0)
		return "name";
	return NULL;
}

static inline bool flaw_same_key(const struct image_host *a, const struct image_host *b)
{
	return a->kind == b->kind && a->key_len == b->key_len &&
	       memcmp(image_host_key(a), image_host_key(b), a->key_len) == 0;
}

/* What lies between two buckets' starts, from at to end: hosts that are found by their hash, and zeros. */
static inline const char *flaw_of_bucket(const struct image *image, uint32_t at, uint32_t end, uint32_t count[3])
{
	const struct image_host *host, *before = NULL;
	for (uint32_t from = at; (host = image_host_at(image, &at, end)) && host->kind != 0; before = host) {
		uint32_t found, found_end;
		uint32_t hash = image_hash(host->kind, image_host_key(host), host->key_len);
		if (!image_hosts(image, hash, &found, &found_end) || found != from || found_end != end)
			return "host in another bucket";
		if (before && flaw_same_key(before, host))
			return "host twice";
		const char *flaw = flaw_of_host(host);
		if (!flaw)
			flaw = flaw_of_rules(image, host, count);
		if (flaw)
			return flaw;
	}
	for (; at < end; at++)
		if (((const char *) image)[at])
			return "bytes behind a host";
	return NULL;
}

/* NULL, or what is wrong. */
static inline const char *image_flaw(const struct image *image)
{
	const struct image_group *groups = image_records(image, image->groups);
	uint32_t count[3] = { 0 };
	for (uint32_t i = 0; i + 1 < image->groups.count; i++)
		for (uint32_t k = 0; k < IMAGE_GROUP; k++) {
			uint32_t at = groups[i].start + groups[i].at[k] * image->unit;
			uint32_t end = k + 1 < IMAGE_GROUP ? groups[i].start + groups[i].at[k + 1] * image->unit
							   : groups[i + 1].start;
			if (at > end || end > image->size)
				return "bucket";
			const char *flaw = flaw_of_bucket(image, at, end, count);
			if (flaw)
				return flaw;
		}
	if (count[IMAGE_LIST_ALLOW] != image->n_allow || count[IMAGE_LIST_DENY] != image->n_deny)
		return "number of rules";
	return image_digest(image) == image_fingerprint(image) ? NULL : "fingerprint";
}
