/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "oci/json.h"

#define SETTINGS_SIZE_MAX (1u << 20)

void settings_defaults(struct settings *ret)
{
	*ret = (struct settings){
		.policies = "/etc/oci-egress/policies",
		.run = "/run/oci-egress",
		.log = "/var/log/oci-egress",
		.state = "/var/lib/oci-egress",
		.policy_from_annotation = true,
		.on_failure = IMAGE_ON_FAILURE_OPEN,
		.proxy = { htonl(0xc6120002) },     /* 198.18.0.2 */
		.container = { htonl(0xc6120003) }, /* 198.18.0.3 */
		.prefix = 31,
		.port = 3128,
	};
}

static int read_path(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	char excerpt[JSON_EXCERPT_MAX];
	char *path = (char *) into + key->offset;
	if (value->len == 0 || value->bytes[0] != '/' || value->len >= PATH_MAX)
		return json_complain(json, value, err, "is %s, expected an absolute path of less than %d bytes",
			json_excerpt(value, excerpt), PATH_MAX);
	memcpy(path, value->bytes, value->len);
	path[value->len] = '\0';
	return 0;
}

/* An address that an end of a link can have: no "this" network, loopback, multicast or reserved one. */
static bool is_unicast(const struct address *address)
{
	uint8_t first = address->bytes[0];
	return first != 0 && first != 127 && first < 224;
}

static int read_address(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	struct address address;
	char excerpt[JSON_EXCERPT_MAX];
	if (!address_parse4(value->bytes, value->len, &address) || !is_unicast(&address))
		return json_complain(
			json, value, err, "is %s, expected a unicast IPv4 address", json_excerpt(value, excerpt));
	memcpy((char *) into + key->offset, address.bytes, sizeof(struct in_addr));
	return 0;
}

static int read_prefix(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	uint32_t prefix;
	struct json_key plain = *key;
	plain.offset = 0;
	int r = json_read_u32(json, &plain, value, &prefix, err);
	if (r < 0)
		return r;
	((struct settings *) into)->prefix = (uint8_t) prefix;
	return 0;
}

/* The first and the last address of a network are nobody's, but in one of two (RFC 3021). */
static bool is_host_address(struct in_addr address, uint8_t prefix)
{
	uint32_t mask = UINT32_MAX >> prefix, host = ntohl(address.s_addr) & mask;
	return prefix == 31 || (host != 0 && host != mask);
}

static int check_network(
	const struct json *json, const struct json_value *value, const struct settings *settings, struct error *err)
{
	uint32_t difference = ntohl(settings->proxy.s_addr) ^ ntohl(settings->container.s_addr);
	if (difference == 0)
		return json_complain(json, value, err, "proxy and container have one address, expected two");
	if (difference > UINT32_MAX >> settings->prefix)
		return json_complain(
			json, value, err, "proxy and container are not in one network of prefix %u", settings->prefix);
	if (!is_host_address(settings->proxy, settings->prefix) ||
		!is_host_address(settings->container, settings->prefix))
		return json_complain(json, value, err,
			"the first or last address of a network of prefix %u, expected one between them",
			settings->prefix);
	return 0;
}

static int read_network(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "proxy",
			.kind = JSON_STRING,
			.read = read_address,
			.offset = offsetof(struct settings, proxy),
			.expected = "an IPv4 address" },
		{ .name = "container",
			.kind = JSON_STRING,
			.read = read_address,
			.offset = offsetof(struct settings, container),
			.expected = "an IPv4 address" },
		{ .name = "prefix", .kind = JSON_NUMBER, .read = read_prefix, .min = 8, .max = 31 },
		{ .name = "port",
			.kind = JSON_NUMBER,
			.read = json_read_u16,
			.offset = offsetof(struct settings, port),
			.min = 1,
			.max = UINT16_MAX },
		{ .name = NULL },
	};
	(void) key;
	int r = json_read_object(json, value, keys, JSON_UNKNOWN_REFUSED, into, err);
	return r < 0 ? r : check_network(json, value, into, err);
}

static const struct json_choice on_failure_choices[] = {
	{ "open", IMAGE_ON_FAILURE_OPEN },
	{ "closed", IMAGE_ON_FAILURE_CLOSED },
	{ NULL, 0 },
};
static const struct json_key settings_keys[] = {
	{ .name = "policies", .kind = JSON_STRING, .read = read_path, .offset = offsetof(struct settings, policies) },
	{ .name = "run", .kind = JSON_STRING, .read = read_path, .offset = offsetof(struct settings, run) },
	{ .name = "log", .kind = JSON_STRING, .read = read_path, .offset = offsetof(struct settings, log) },
	{ .name = "state", .kind = JSON_STRING, .read = read_path, .offset = offsetof(struct settings, state) },
	{ .name = "runtime", .kind = JSON_STRING, .read = read_path, .offset = offsetof(struct settings, runtime) },
	{ .name = "policy_from_annotation",
		.kind = JSON_BOOL,
		.read = json_read_bool,
		.offset = offsetof(struct settings, policy_from_annotation) },
	{ .name = "policy_from_env",
		.kind = JSON_BOOL,
		.read = json_read_bool,
		.offset = offsetof(struct settings, policy_from_env) },
	{ .name = "on_failure",
		.kind = JSON_STRING,
		.read = json_read_choice,
		.offset = offsetof(struct settings, on_failure),
		.choices = on_failure_choices },
	{ .name = "network", .kind = JSON_OBJECT, .read = read_network },
	{ .name = NULL },
};

int settings_parse(const char *file, const char *text, size_t len, struct settings *settings, struct error *err)
{
	if (len > SETTINGS_SIZE_MAX)
		return error_say(err, EINVAL, "%s: longer than %u bytes", file, SETTINGS_SIZE_MAX);
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(file, text, len, true, &json, err);
	if (r < 0)
		return r;
	struct settings read = *settings;
	r = json_read_object(json, json_root(json), settings_keys, JSON_UNKNOWN_REFUSED, &read, err);
	if (r < 0)
		return r;
	*settings = read;
	return 0;
}
