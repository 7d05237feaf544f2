/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a policy. */
#include "oci/draft.h"

#include <stdlib.h>
#include <string.h>

#define ARGUMENT_MAX 4096
#define USER_MAX 255

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
static const struct json_choice sni_choices[] = {
	{ "match", IMAGE_SNI_MATCH },
	{ "off", IMAGE_SNI_OFF },
	{ NULL, 0 },
};
static const struct json_choice on_reload_choices[] = {
	{ "end", IMAGE_ON_RELOAD_END },
	{ "keep", IMAGE_ON_RELOAD_KEEP },
	{ NULL, 0 },
};
static const struct json_choice inbound_choices[] = {
	{ "allow", IMAGE_INBOUND_ALLOW },
	{ "deny", IMAGE_INBOUND_DENY },
	{ NULL, 0 },
};
static const struct json_choice gate_choices[] = {
	{ "auto", IMAGE_GATE_AUTO },
	{ "always", IMAGE_GATE_ALWAYS },
	{ "never", IMAGE_GATE_NEVER },
	{ NULL, 0 },
};
static const struct json_choice all_proxy_choices[] = {
	{ "http", IMAGE_ALL_PROXY_HTTP },
	{ "socks5h", IMAGE_ALL_PROXY_SOCKS5H },
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
		.offset = offsetof(struct draft, allow) },
	{ .name = "deny",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "an array of strings",
		.offset = offsetof(struct draft, deny) },
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
	{ .name = "direct",
		.kind = JSON_ARRAY,
		.read = read_array,
		.expected = "an array of strings, ADDRESS/PREFIX or \"lan\"",
		.offset = offsetof(struct draft, direct_array) },
	{ .name = "inbound",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.inbound),
		.choices = inbound_choices },
	{ .name = "gate",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.gate),
		.choices = gate_choices },
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
	{ .name = "sni",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.sni),
		.choices = sni_choices },
	{ .name = "on_reload",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.on_reload),
		.choices = on_reload_choices },
	{ .name = "startup_timeout_ms",
		.kind = JSON_NUMBER,
		.read = json_read_u32,
		.offset = offsetof(struct draft, image.startup_timeout_ms),
		.min = IMAGE_STARTUP_MS_MIN,
		.max = IMAGE_STARTUP_MS_MAX },
	{ .name = "limits", .kind = JSON_OBJECT, .read = read_limits, .offset = offsetof(struct draft, image.limits) },
	{ .name = "proxy", .kind = JSON_OBJECT, .read = read_proxy },
	{ .name = "environment", .kind = JSON_OBJECT, .read = draft_read_environment },
	{ .name = "all_proxy",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct draft, image.environment.all_proxy),
		.choices = all_proxy_choices },
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
		.sni = IMAGE_SNI_MATCH,
		.on_reload = IMAGE_ON_RELOAD_END,
		.inbound = IMAGE_INBOUND_ALLOW,
		.gate = IMAGE_GATE_AUTO,
		.startup_timeout_ms = IMAGE_STARTUP_MS,
		.environment = { .profile = IMAGE_PROFILE_PROXY, .all_proxy = IMAGE_ALL_PROXY_HTTP },
	};
	for (const struct image_range *range = image_ranges; range->name; range++)
		memcpy((char *) &draft->image.limits + range->offset, &range->standard, sizeof(range->standard));
}

int draft_read(const struct json *json, enum image_on_failure on_failure, struct draft *draft, struct error *err)
{
	*draft = (struct draft){ .json = json };
	set_defaults(draft, on_failure);
	return json_read_object(json, json_root(json), policy_keys, JSON_UNKNOWN_REFUSED, draft, err);
}

void draft_clear(struct draft *draft)
{
	free(draft->rules.rules);
	free(draft->rules.order);
	free(draft->rules.keys);
	free(draft->networks);
}
