/* SPDX-License-Identifier: Apache-2.0 */
/* From a draft, its lists in order, to the image. */
#include "oci/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "oci/draft.h"

#define UNIT_MIN 4
#define AHEAD 16 /* entries lie all over the memory: each is asked for while those before it are written */

static size_t strings_size(const struct draft *draft, const char *name, const char *file)
{
	size_t size = strlen(name) + 1 + strlen(file) + 1;
	for (uint32_t i = 0; i < draft->n_networks; i++)
		size += (size_t) draft->networks[i].value->len + 1;
	for (uint32_t i = 0; i < draft->n_direct; i++)
		size += (size_t) draft->direct[i].value->len + 1;
	for (const struct json_value *v = draft->command ? draft->command->first : NULL; v; v = v->next)
		size += (size_t) v->len + 1;
	for (const struct json_value *v = draft->set ? draft->set->first : NULL; v; v = v->next)
		size += (size_t) v->key_len + 1 + v->len + 1;
	for (const struct json_value *v = draft->keep ? draft->keep->first : NULL; v; v = v->next)
		size += (size_t) v->len + 1;
	return size + (draft->user ? draft->user->len : 0) + 1;
}

/* Gives out a table's place and moves on behind it. */
static struct image_table place(size_t *at, size_t count, size_t size)
{
	struct image_table table = { .offset = (uint32_t) *at, .count = (uint32_t) count };
	*at += count * size;
	return table;
}

#define BUCKET_HOSTS 2 /* in the mean: fewer make the groups larger than the caches, more make the buckets long */
#define LINE 64        /* of the caches */

/* None without hosts, else one more for the end of the last one. */
static uint32_t n_groups(const struct draft *draft)
{
	return draft->rules.n_hosts ? draft->rules.n_hosts / (BUCKET_HOSTS * IMAGE_GROUP) + 2 : 0;
}

/* What aligning each bucket can cost. */
static size_t padding_size(const struct draft *draft, uint32_t unit)
{
	return (size_t) n_groups(draft) * IMAGE_GROUP * (unit - UNIT_MIN);
}

struct layout {
	size_t hosts, text; /* where they begin */
};

/* Sets the tables' places, and size. Ports, of two bytes each, come last before text. */
static struct layout lay_out(struct draft *draft, uint32_t unit, const char *name, const char *file)
{
	struct image *image = &draft->image;
	struct layout layout;
	size_t at = sizeof(*image), n_ports = 0;
	for (uint32_t port = 0; (port = draft_next_port(draft, port + 1)) <= UINT16_MAX;)
		n_ports++;
	image->n_allow = draft->rules.n_of[IMAGE_LIST_ALLOW];
	image->n_deny = draft->rules.n_of[IMAGE_LIST_DENY];
	image->networks = place(&at, draft->n_networks, sizeof(struct image_network));
	image->direct = place(&at, draft->n_direct, sizeof(struct image_network));
	image->external.argv = place(&at, draft->command ? draft->command->len : 0, sizeof(struct image_text));
	image->environment.set = place(&at, draft->set ? draft->set->len : 0, sizeof(struct image_text));
	image->environment.keep = place(&at, draft->keep ? draft->keep->len : 0, sizeof(struct image_text));
	at = n_groups(draft) ? (at + LINE - 1) & ~(size_t) (LINE - 1) : at;
	image->unit = unit;
	image->groups = place(&at, n_groups(draft), sizeof(struct image_group));
	layout.hosts = at;
	at += draft->rules.hosts_size + padding_size(draft, unit);
	image->ports = place(&at, n_ports, sizeof(uint16_t));
	layout.text = at;
	size_t size = at + draft->rules.texts_size + strings_size(draft, name, file);
	image->size = size > IMAGE_SIZE_MAX ? 0 : (uint32_t) size;
	return layout;
}

struct writer {
	char *base;
	size_t at; /* of the next text */
};

static struct image_text write_text(struct writer *writer, const char *bytes, size_t len)
{
	struct image_text text = { .offset = (uint32_t) writer->at, .len = (uint32_t) len };
	memcpy(writer->base + writer->at, bytes, len);
	writer->at += len + 1; /* the memory was 0 */
	return text;
}

/* A host without rules, with its bytes. Returns where its rules begin. */
static uint32_t write_host(char *base, uint32_t at, const struct draft_rule *rule)
{
	struct image_host *host = (void *) (base + at);
	host->kind = rule->kind;
	host->key_len = rule->key_len;
	char *bytes = host->bytes;
	if (rule->kind == IMAGE_RULE_WILDCARD) {
		memcpy(bytes, "*.", 2);
		bytes += 2;
	}
	memcpy(bytes, rule->key, rule->key_len);
	return at + image_host_head(rule->kind, rule->key_len);
}

static void write_rule(struct writer *writer, uint32_t host, uint32_t at, const struct draft_rule *draft)
{
	struct image_rule *rule = (void *) (writer->base + at);
	rule->line = draft->line;
	rule->port = draft->port;
	rule->list = draft->list;
	if (draft->canonical)
		rule->text = (struct image_text){ host + offsetof(struct image_host, bytes), draft->text_len };
	else
		rule->text = write_text(writer, draft->text, draft->text_len);
	struct image_host *of = (void *) (writer->base + host);
	of->n_rules++;
}

/* Where hosts are written to, and which bucket is to start next. */
struct shelf {
	struct image_group *groups;
	uint32_t unit;
	uint32_t bucket;
	uint32_t at;
};

/* Starts the buckets before to. False: one is further from its group's start than can be told. */
static bool start_buckets(struct shelf *shelf, uint32_t to)
{
	for (; shelf->bucket < to; shelf->bucket++) {
		struct image_group *group = &shelf->groups[shelf->bucket / IMAGE_GROUP];
		if (shelf->bucket % IMAGE_GROUP == 0)
			group->start = shelf->at;
		uint32_t units = (shelf->at - group->start + shelf->unit - 1) / shelf->unit;
		if (units > UINT16_MAX)
			return false;
		group->at[shelf->bucket % IMAGE_GROUP] = (uint16_t) units;
		shelf->at = group->start + units * shelf->unit;
	}
	return true;
}

static bool start_host(struct shelf *shelf, uint32_t bucket, const struct draft_rule *rule)
{
	if (!start_buckets(shelf, bucket + 1))
		return false;
	shelf->groups[bucket / IMAGE_GROUP].tags[bucket % IMAGE_GROUP] |= image_tag(rule->hash);
	return true;
}

static const struct draft_rule *rule_at(const struct draft_rules *rules, uint32_t i)
{
	return &rules->rules[(uint32_t) rules->order[i < rules->n_order ? i : 0]];
}

/* All hosts from at on, in their order, and their groups. False: unit is too small. */
static bool write_hosts(struct writer *writer, const struct image *image, size_t at, const struct draft_rules *rules)
{
	struct shelf shelf = { (void *) (writer->base + image->groups.offset), image->unit, 0, (uint32_t) at };
	uint32_t host = 0;
	const struct draft_rule *before = NULL;
	for (uint32_t i = 0; i < rules->n_order; i++) {
		const struct draft_rule *rule = rule_at(rules, i);
		__builtin_prefetch(rule_at(rules, i + AHEAD));
		__builtin_prefetch(rule_at(rules, i + AHEAD / 2)->text);
		if (!before || !draft_same_host(before, rule)) {
			if (!start_host(&shelf, image_bucket(rule->hash, image->groups.count), rule))
				return false;
			host = shelf.at;
			shelf.at = write_host(writer->base, host, rule);
		}
		write_rule(writer, host, shelf.at, rule);
		shelf.at += (uint32_t) sizeof(struct image_rule);
		before = rule;
	}
	return start_buckets(&shelf, image->groups.count * IMAGE_GROUP);
}

static void write_networks(
	struct writer *writer, struct image_table table, const struct draft_network *networks, uint32_t n)
{
	struct image_network *records = (void *) (writer->base + table.offset);
	for (uint32_t i = 0; i < n; i++) {
		records[i] = networks[i].record;
		records[i].text = write_text(writer, networks[i].value->bytes, networks[i].value->len);
	}
}

static void write_command(struct writer *writer, const struct draft *draft)
{
	struct image_text *argv = (void *) (writer->base + draft->image.external.argv.offset);
	for (const struct json_value *v = draft->command ? draft->command->first : NULL; v; v = v->next)
		*argv++ = write_text(writer, v->bytes, v->len);
}

/* "NAME=value" of each that is set, and the names of those that are kept. */
static void write_environment(struct writer *writer, const struct draft *draft)
{
	struct image_text *set = (void *) (writer->base + draft->image.environment.set.offset);
	struct image_text *keep = (void *) (writer->base + draft->image.environment.keep.offset);
	for (const struct json_value *v = draft->set ? draft->set->first : NULL; v; v = v->next) {
		*set = write_text(writer, v->key, v->key_len);
		writer->base[writer->at - 1] = '=';
		set++->len += 1 + write_text(writer, v->bytes, v->len).len;
	}
	for (const struct json_value *v = draft->keep ? draft->keep->first : NULL; v; v = v->next)
		*keep++ = write_text(writer, v->bytes, v->len);
}

static void write_ports(struct writer *writer, const struct draft *draft)
{
	uint16_t *ports = (void *) (writer->base + draft->image.ports.offset);
	for (uint32_t port = 0; (port = draft_next_port(draft, port + 1)) <= UINT16_MAX;)
		*ports++ = (uint16_t) port;
}

/* -ERANGE: unit is too small. */
static int write_image(
	struct draft *draft, uint32_t unit, const char *name, const char *file, struct image **ret, struct error *err)
{
	struct layout layout = lay_out(draft, unit, name, file);
	if (draft->image.size == 0)
		return error_say(err, EINVAL, "%s: the compiled policy is larger than %u bytes", file, IMAGE_SIZE_MAX);
	_cleanup_free_ struct image *image = calloc(1, draft->image.size);
	if (!image)
		return error_set(err, ENOMEM, "compile policy");
	memory_fill_soon(image, draft->image.size);
	struct writer writer = { .base = (char *) image, .at = layout.text };
	*image = draft->image;
	image->name = write_text(&writer, name, strlen(name));
	image->file = write_text(&writer, file, strlen(file));
	image->external.user =
		write_text(&writer, draft->user ? draft->user->bytes : "", draft->user ? draft->user->len : 0);
	if (!write_hosts(&writer, image, layout.hosts, &draft->rules))
		return error_set(err, ERANGE, "compile policy");
	write_networks(&writer, image->networks, draft->networks, draft->n_networks);
	write_networks(&writer, image->direct, draft->direct, draft->n_direct);
	write_command(&writer, draft);
	write_environment(&writer, draft);
	write_ports(&writer, draft);
	image->fingerprint = image_digest(image);
	*ret = TAKE_PTR(image);
	return 0;
}

int policy_compile(const char *file, const char *name, const char *text, size_t len, enum image_on_failure on_failure,
	struct image **ret, struct error *err)
{
	if (len > POLICY_SIZE_MAX)
		return error_say(err, EINVAL, "%s: longer than %u bytes", file, POLICY_SIZE_MAX);
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(file, text, len, true, &json, err);
	if (r < 0)
		return r;
	_cleanup_draft_ struct draft draft;
	r = draft_read(json, on_failure, &draft, err);
	if (r == 0)
		r = draft_order(&draft, err);
	if (r < 0)
		return r;
	for (uint32_t unit = UNIT_MIN; (r = write_image(&draft, unit, name, file, ret, err)) == -ERANGE;)
		unit *= 2; /* a host with rules for some ten thousand ports */
	return r;
}
