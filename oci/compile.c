/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's JSON to its image, in three steps: read the keys into a draft, put the draft's lists in order, lay the
 * image out and fill it. A list of a million entries is usual: each step is linear, but for the sorting.
 */
#include "oci/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/entry.h"
#include "oci/json.h"

#define NETWORKS_MAX 1024 /* they are searched one by one, for each address that lies in the floor */
#define ARGUMENT_MAX 4096
#define USER_MAX 255

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

static void cleanup_draft(struct draft *draft)
{
	free(draft->allow.rules);
	free(draft->allow.keys);
	free(draft->deny.rules);
	free(draft->deny.keys);
	free(draft->networks);
}
#define _cleanup_draft_ __attribute__((cleanup(cleanup_draft)))

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "compile policy");
}

/* Step one: keys */

static int read_array(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	enum json_kind kind = key->min ? JSON_NUMBER : JSON_STRING;
	int r = json_check_elements(json, value, kind, err);
	if (r < 0)
		return r;
	memcpy((char *) into + key->offset, &value, sizeof(value));
	return 0;
}

static int read_limits(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	struct json_key keys[16] = { { .name = NULL } };
	for (size_t i = 0; image_ranges[i].name; i++)
		keys[i] = (struct json_key){
			.name = image_ranges[i].name,
			.kind = JSON_NUMBER,
			.read = json_read_u32,
			.offset = image_ranges[i].offset,
			.min = image_ranges[i].min,
			.max = image_ranges[i].max,
		};
	return json_read_object(json, value, keys, JSON_UNKNOWN_REFUSED, (char *) into + key->offset, err);
}

static int read_command(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	struct draft *draft = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0)
		return r;
	if (value->len == 0 || value->len > IMAGE_ARGV_MAX)
		return json_complain(json, value, err, "has %u elements, expected %s, 1 to %d", value->len,
			key->expected, IMAGE_ARGV_MAX);
	char excerpt[JSON_EXCERPT_MAX];
	if (value->first->len == 0 || value->first->bytes[0] != '/')
		return json_complain(json, value->first, err, "is %s, expected the program's absolute path",
			json_excerpt(value->first, excerpt));
	for (const struct json_value *v = value->first; v; v = v->next)
		if (v->len > ARGUMENT_MAX)
			return json_complain(json, v, err, "is longer than %d bytes", ARGUMENT_MAX);
	draft->command = value;
	return 0;
}

static bool user_valid(const char *name, size_t len)
{
	if (len == 0 || len > USER_MAX || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= 0x20 || name[i] > 0x7e || name[i] == ':' || name[i] == '/')
			return false;
	return true;
}

static int read_user(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct draft *draft = into;
	char excerpt[JSON_EXCERPT_MAX];
	if (!user_valid(value->bytes, value->len))
		return json_complain(
			json, value, err, "is %s, expected the name of a user", json_excerpt(value, excerpt));
	draft->user = value;
	return 0;
}

static int read_proxy(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "command",
			.kind = JSON_ARRAY,
			.read = read_command,
			.expected = "an array of strings",
			.required = true },
		{ .name = "port",
			.kind = JSON_NUMBER,
			.read = json_read_u32,
			.offset = offsetof(struct draft, image.external.port),
			.min = 1,
			.max = UINT16_MAX },
		{ .name = "user", .kind = JSON_STRING, .read = read_user },
		{ .name = "stop_timeout_ms",
			.kind = JSON_NUMBER,
			.read = json_read_u32,
			.offset = offsetof(struct draft, image.external.stop_timeout_ms),
			.min = 0,
			.max = IMAGE_STOP_MS_MAX },
		{ .name = NULL },
	};
	(void) key;
	struct draft *draft = into;
	draft->proxy = value;
	draft->image.proxy = IMAGE_PROXY_EXTERNAL;
	draft->image.external.stop_timeout_ms = IMAGE_STOP_MS;
	return json_read_object(json, value, keys, JSON_UNKNOWN_REFUSED, draft, err);
}

static const struct json_choice link_choices[] = {
	{ "auto", IMAGE_LINK_AUTO },
	{ "veth", IMAGE_LINK_VETH },
	{ "socket", IMAGE_LINK_SOCKET },
	{ NULL, 0 },
};
static const struct json_choice on_failure_choices[] = {
	{ "open", IMAGE_ON_FAILURE_OPEN },
	{ "closed", IMAGE_ON_FAILURE_CLOSED },
	{ NULL, 0 },
};
static const struct json_key policy_keys[] = {
	{ .name = "version",
		.kind = JSON_NUMBER,
		.read = json_read_u32,
		.expected = "1",
		.offset = offsetof(struct draft, version),
		.min = 1,
		.max = 1 },
	{ .name = "allow",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "an array of strings",
		.offset = offsetof(struct draft, allow.array) },
	{ .name = "deny",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "an array of strings",
		.offset = offsetof(struct draft, deny.array) },
	{ .name = "ports",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "a non-empty array of integers from 1 to 65535",
		.offset = offsetof(struct draft, ports_array),
		.min = 1 },
	{ .name = "networks",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "an array of strings, ADDRESS/PREFIX",
		.offset = offsetof(struct draft, networks_array) },
	{ .name = "link",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.link),
		.choices = link_choices },
	{ .name = "on_failure",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.on_failure),
		.choices = on_failure_choices },
	{ .name = "startup_timeout_ms",
		.kind = JSON_NUMBER,
		.read = json_read_u32,
		.offset = offsetof(struct draft, image.startup_timeout_ms),
		.min = IMAGE_STARTUP_MS_MIN,
		.max = IMAGE_STARTUP_MS_MAX },
	{ .name = "limits", .kind = JSON_OBJECT, .read = read_limits, .offset = offsetof(struct draft, image.limits) },
	{ .name = "proxy", .kind = JSON_OBJECT, .read = read_proxy },
	{ .name = NULL },
};

static void set_defaults(struct draft *draft, enum image_on_failure on_failure)
{
	draft->image = (struct image){
		.magic = IMAGE_MAGIC,
		.version = IMAGE_VERSION,
		.proxy = IMAGE_PROXY_BUILTIN,
		.link = IMAGE_LINK_AUTO,
		.on_failure = on_failure,
		.startup_timeout_ms = IMAGE_STARTUP_MS,
	};
	for (const struct image_range *range = image_ranges; range->name; range++)
		memcpy((char *) &draft->image.limits + range->offset, &range->standard, sizeof(range->standard));
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

/* Step two: lists */

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

static bool has_port(const struct draft *draft, uint32_t port)
{
	return draft->ports[port / 8] >> port % 8 & 1;
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

/* Step three: the image */

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
		n_ports += has_port(draft, port);
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
		if (has_port(draft, port))
			*ports++ = (uint16_t) port;
}

static int write_image(struct draft *draft, const char *name, const char *file, struct image **ret, struct error *err)
{
	size_t text = lay_out(draft, name, file);
	if (draft->image.size == 0)
		return error_say(err, EINVAL, "%s: the compiled policy is larger than %u bytes", file, IMAGE_SIZE_MAX);
	struct image *image = calloc(1, draft->image.size);
	if (!image)
		return no_memory(err);
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

static int make_lists(struct draft *draft, struct error *err)
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

int policy_compile(const char *file, const char *name, const char *text, size_t len, enum image_on_failure on_failure,
	struct image **ret, struct error *err)
{
	if (len > POLICY_SIZE_MAX)
		return error_say(err, EINVAL, "%s: longer than %u bytes", file, POLICY_SIZE_MAX);
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(file, text, len, true, &json, err);
	if (r < 0)
		return r;
	_cleanup_draft_ struct draft draft = { .json = json };
	set_defaults(&draft, on_failure);
	r = json_read_object(json, json_root(json), policy_keys, JSON_UNKNOWN_REFUSED, &draft, err);
	if (r == 0)
		r = make_lists(&draft, err);
	if (r < 0)
		return r;
	return write_image(&draft, name, file, ret, err);
}
