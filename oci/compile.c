/* SPDX-License-Identifier: Apache-2.0 */
/* From a draft, its lists in order, to the image. */
#include "oci/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/draft.h"

/* Is the key a part of the entry's own text, up to its end? Then it needs no bytes of its own. */
static bool key_in_text(const struct draft_list *list, const struct draft_rule *draft, uint32_t *ret_at)
{
	const struct image_text *key = &draft->rule.key;
	uint32_t at = draft->rule.kind == IMAGE_RULE_WILDCARD ? 2 : 0;
	if (draft->rule.kind != IMAGE_RULE_WILDCARD && draft->rule.kind != IMAGE_RULE_NAME)
		return false;
	if (draft->value->len != key->len + at ||
		memcmp(draft->value->bytes + at, list->keys + key->offset, key->len) != 0)
		return false;
	*ret_at = at;
	return true;
}

static size_t list_text_size(const struct draft_list *list)
{
	size_t size = 0;
	uint32_t at;
	for (uint32_t i = 0; i < list->n; i++) {
		size += (size_t) list->rules[i].value->len + 1;
		if (!key_in_text(list, &list->rules[i], &at))
			size += (size_t) list->rules[i].rule.key.len + 1;
	}
	return size;
}

static size_t strings_size(const struct draft *draft, const char *name, const char *file)
{
	size_t size = strlen(name) + 1 + strlen(file) + 1;
	for (uint32_t i = 0; i < draft->n_networks; i++)
		size += (size_t) draft->networks[i].value->len + 1;
	for (const struct json_value *v = draft->command ? draft->command->first : NULL; v; v = v->next)
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

/* Sets the tables' places, and size. Returns where text begins; ports, of two bytes each, come last before it. */
static size_t lay_out(struct draft *draft, const char *name, const char *file)
{
	struct image *image = &draft->image;
	size_t at = sizeof(*image), n_ports = 0;
	for (uint32_t port = 1; image->proxy == IMAGE_PROXY_BUILTIN && port <= UINT16_MAX; port++)
		n_ports += draft_has_port(draft, port);
	image->allow = place(&at, draft->allow.n, sizeof(struct image_rule));
	image->deny = place(&at, draft->deny.n, sizeof(struct image_rule));
	image->networks = place(&at, draft->n_networks, sizeof(struct image_network));
	image->external.argv = place(&at, draft->command ? draft->command->len : 0, sizeof(struct image_text));
	image->ports = place(&at, n_ports, sizeof(uint16_t));
	size_t size =
		at + list_text_size(&draft->allow) + list_text_size(&draft->deny) + strings_size(draft, name, file);
	image->size = size > IMAGE_SIZE_MAX ? 0 : (uint32_t) size;
	return at;
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

static void write_rules(struct writer *writer, struct image_table table, const struct draft_list *list)
{
	struct image_rule *rules = (void *) (writer->base + table.offset);
	for (uint32_t i = 0; i < list->n; i++) {
		const struct draft_rule *draft = &list->rules[i];
		uint32_t at;
		rules[i] = draft->rule;
		rules[i].text = write_text(writer, draft->value->bytes, draft->value->len);
		if (key_in_text(list, draft, &at))
			rules[i].key.offset = rules[i].text.offset + at;
		else
			rules[i].key = write_text(writer, list->keys + draft->rule.key.offset, draft->rule.key.len);
	}
}

static void write_networks(struct writer *writer, const struct draft *draft)
{
	struct image_network *records = (void *) (writer->base + draft->image.networks.offset);
	for (uint32_t i = 0; i < draft->n_networks; i++) {
		records[i] = draft->networks[i].record;
		records[i].text = write_text(writer, draft->networks[i].value->bytes, draft->networks[i].value->len);
	}
}

static void write_command(struct writer *writer, const struct draft *draft)
{
	struct image_text *argv = (void *) (writer->base + draft->image.external.argv.offset);
	for (const struct json_value *v = draft->command ? draft->command->first : NULL; v; v = v->next)
		*argv++ = write_text(writer, v->bytes, v->len);
}

static void write_ports(struct writer *writer, const struct draft *draft)
{
	uint16_t *ports = (void *) (writer->base + draft->image.ports.offset);
	for (uint32_t port = 1; draft->image.ports.count && port <= UINT16_MAX; port++)
		if (draft_has_port(draft, port))
			*ports++ = (uint16_t) port;
}

static int write_image(struct draft *draft, const char *name, const char *file, struct image **ret, struct error *err)
{
	size_t text = lay_out(draft, name, file);
	if (draft->image.size == 0)
		return error_say(err, EINVAL, "%s: the compiled policy is larger than %u bytes", file, IMAGE_SIZE_MAX);
	struct image *image = calloc(1, draft->image.size);
	if (!image)
		return error_set(err, ENOMEM, "compile policy");
	struct writer writer = { .base = (char *) image, .at = text };
	*image = draft->image;
	image->name = write_text(&writer, name, strlen(name));
	image->file = write_text(&writer, file, strlen(file));
	image->external.user =
		write_text(&writer, draft->user ? draft->user->bytes : "", draft->user ? draft->user->len : 0);
	write_rules(&writer, image->allow, &draft->allow);
	write_rules(&writer, image->deny, &draft->deny);
	write_networks(&writer, draft);
	write_command(&writer, draft);
	write_ports(&writer, draft);
	*ret = image;
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
	return write_image(&draft, name, file, ret, err);
}
