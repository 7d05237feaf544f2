/* SPDX-License-Identifier: Apache-2.0 */
/* The check that everybody who maps an image makes. Links without JSON: the worker has none. */
#include "oci/image.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/host.h"

#define LIMIT(name) #name, offsetof(struct image_limits, name)
#define WEEK_MS 604800000

const struct image_range image_ranges[] = {
	{ LIMIT(connections), 1, IMAGE_CONNECTIONS_MAX, 256 },
	{ LIMIT(connections_per_second), 0, 1000000, 1000 },
	{ LIMIT(head_bytes), 1024, 65536, 16384 },
	{ LIMIT(response_head_bytes), 1024, 1u << 20, 65536 },
	{ LIMIT(trailer_bytes), 64, 65536, 8192 },
	{ LIMIT(head_timeout_ms), 100, 600000, 10000 },
	{ LIMIT(resolve_timeout_ms), 100, 600000, 10000 },
	{ LIMIT(connect_timeout_ms), 100, 600000, 10000 },
	{ LIMIT(idle_timeout_ms), 1000, WEEK_MS, 600000 },
	{ LIMIT(total_timeout_ms), 0, WEEK_MS, 0 },
	{ LIMIT(bytes_per_second_up), 0, UINT32_MAX, 0 },
	{ LIMIT(bytes_per_second_down), 0, UINT32_MAX, 0 },
	{ LIMIT(lookups), 1, 1024, 64 },
	{ LIMIT(log_bytes), 65536, 1u << 30, 4u << 20 },
	{ NULL, 0, 0, 0, 0 },
};

/* What of an image is not as it must be, or NULL: the shape of every check here. */
typedef const char *image_problem;

static bool inside(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset >= sizeof(*image) && offset + size <= image->size;
}

static bool text_valid(const struct image *image, struct image_text text)
{
	return inside(image, text.offset, (uint64_t) text.len + 1) && image_string(image, text)[text.len] == '\0';
}

/* Text without a NUL before its last. */
static bool string_valid(const struct image *image, struct image_text text)
{
	return text_valid(image, text) && !memchr(image_string(image, text), '\0', text.len);
}

static bool table_valid(const struct image *image, struct image_table table, size_t size, size_t alignment)
{
	return table.offset % alignment == 0 && inside(image, table.offset, (uint64_t) table.count * size);
}

static image_problem check_header(const struct image *image, size_t len)
{
	if (image->magic != IMAGE_MAGIC || image->version != IMAGE_VERSION)
		return "not an image of this version";
	if (image->size != len || len > IMAGE_SIZE_MAX)
		return "size";
	if (((const char *) image)[len - 1] != '\0') /* where a text is not, the image is terminated */
		return "end";
	if (image->proxy < IMAGE_PROXY_BUILTIN || image->proxy > IMAGE_PROXY_EXTERNAL)
		return "proxy";
	if (image->link < IMAGE_LINK_AUTO || image->link > IMAGE_LINK_SOCKET)
		return "link";
	if (image->on_failure < IMAGE_ON_FAILURE_OPEN || image->on_failure > IMAGE_ON_FAILURE_CLOSED)
		return "on_failure";
	if (image->sni < IMAGE_SNI_MATCH || image->sni > IMAGE_SNI_OFF)
		return "sni";
	if (image->on_reload < IMAGE_ON_RELOAD_END || image->on_reload > IMAGE_ON_RELOAD_KEEP)
		return "on_reload";
	if (image->inbound < IMAGE_INBOUND_ALLOW || image->inbound > IMAGE_INBOUND_DENY)
		return "inbound";
	if (image->gate < IMAGE_GATE_AUTO || image->gate > IMAGE_GATE_NEVER)
		return "gate";
	if (image->startup_timeout_ms < IMAGE_STARTUP_MS_MIN || image->startup_timeout_ms > IMAGE_STARTUP_MS_MAX)
		return "startup_timeout_ms";
	if (!string_valid(image, image->name))
		return "name";
	return string_valid(image, image->file) ? NULL : "file";
}

static image_problem check_limits(const struct image *image)
{
	for (const struct image_range *range = image_ranges; range->name; range++) {
		uint32_t value;
		memcpy(&value, (const char *) &image->limits + range->offset, sizeof(value));
		if (value < range->min || value > range->max)
			return range->name;
	}
	return NULL;
}

static_assert(sizeof(struct image_group) == 64, "a line of the cache");

/* What the buckets hold is looked at when it is asked for. */
static image_problem check_groups(const struct image *image)
{
	if (!table_valid(image, image->groups, sizeof(struct image_group), alignof(struct image_group)))
		return "table of groups";
	return image->unit < 4 || (image->unit & (image->unit - 1)) ? "unit" : NULL;
}

int image_network_compare(const struct image_network *a, const struct image_network *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	int order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));
	if (order)
		return order;
	return a->prefix < b->prefix ? -1 : a->prefix > b->prefix;
}

static image_problem check_networks(const struct image *image, struct image_table table)
{
	if (!table_valid(image, table, sizeof(struct image_network), alignof(struct image_network)))
		return "table of networks";
	const struct image_network *networks = image_records(image, table);
	for (uint32_t i = 0; i < table.count; i++) {
		const struct image_network *n = &networks[i];
		if (n->family != AF_INET && n->family != AF_INET6)
			return "family of a network";
		if (n->prefix > (n->family == AF_INET ? 32 : 128) || !string_valid(image, n->text))
			return "network";
		if (i > 0 && image_network_compare(&networks[i - 1], n) >= 0)
			return "order of networks";
	}
	return NULL;
}

static image_problem check_ports(const struct image *image)
{
	if (!table_valid(image, image->ports, sizeof(uint16_t), alignof(uint16_t)))
		return "table of ports";
	const uint16_t *ports = image_records(image, image->ports);
	for (uint32_t i = 0; i < image->ports.count; i++)
		if (ports[i] == 0 || (i > 0 && ports[i - 1] >= ports[i]))
			return "port";
	return NULL;
}

static image_problem check_builtin(const struct image *image)
{
	if (image->ports.count == 0)
		return "no ports";
	return image->external.argv.count ? "command of a builtin proxy" : NULL;
}

static image_problem check_external(const struct image *image)
{
	const struct image_external *external = &image->external;
	if (image->ports.count || image->groups.count || image->networks.count)
		return "rules of an external proxy";
	if (external->argv.count == 0 || external->argv.count > IMAGE_ARGV_MAX || external->port > UINT16_MAX ||
		external->stop_timeout_ms > IMAGE_STOP_MS_MAX)
		return "external proxy";
	const struct image_text *argv = image_records(image, external->argv);
	for (uint32_t i = 0; i < external->argv.count; i++)
		if (!string_valid(image, argv[i]))
			return "argument of the external proxy";
	return image_string(image, argv[0])[0] == '/' ? NULL : "program of the external proxy";
}

static bool is_variable(const struct image *image, struct image_text text)
{
	return string_valid(image, text) && strchr(image_string(image, text) + (text.len > 0), '=');
}

static image_problem check_environment(const struct image *image)
{
	const struct image_environment *environment = &image->environment;
	if (environment->profile < IMAGE_PROFILE_NONE || environment->profile > IMAGE_PROFILE_FULL)
		return "profile of the environment";
	if (environment->all_proxy < IMAGE_ALL_PROXY_HTTP || environment->all_proxy > IMAGE_ALL_PROXY_SOCKS5H)
		return "all_proxy";
	if (environment->set.count > IMAGE_SET_MAX || environment->keep.count > IMAGE_KEEP_MAX ||
		!table_valid(image, environment->set, sizeof(struct image_text), alignof(struct image_text)) ||
		!table_valid(image, environment->keep, sizeof(struct image_text), alignof(struct image_text)))
		return "table of variables";
	const struct image_text *set = image_records(image, environment->set);
	const struct image_text *keep = image_records(image, environment->keep);
	uint64_t size = 0;
	for (uint32_t i = 0; i < environment->set.count; i++) {
		size += (uint64_t) set[i].len + 1;
		if (size > IMAGE_SET_BYTES_MAX || !is_variable(image, set[i]))
			return "variable";
	}
	for (uint32_t i = 0; i < environment->keep.count; i++)
		if (!string_valid(image, keep[i]))
			return "name of a variable";
	return NULL;
}

static image_problem check(const struct image *image, size_t len)
{
	image_problem problem = check_header(image, len);
	if (!problem)
		problem = check_limits(image);
	if (!problem)
		problem = check_ports(image);
	if (!problem)
		problem = check_groups(image);
	if (!problem)
		problem = check_networks(image, image->networks);
	if (!problem)
		problem = image->direct.count > IMAGE_DIRECT_MAX ? "direct" : check_networks(image, image->direct);
	if (!problem &&
		!table_valid(image, image->external.argv, sizeof(struct image_text), alignof(struct image_text)))
		problem = "table of arguments";
	if (!problem && !string_valid(image, image->external.user))
		problem = "user of the external proxy";
	if (!problem)
		problem = check_environment(image);
	if (!problem)
		problem = image->proxy == IMAGE_PROXY_BUILTIN ? check_builtin(image) : check_external(image);
	return problem;
}

int image_check(const void *bytes, size_t len, const struct image **ret, struct error *err)
{
	if (len < sizeof(struct image) || (uintptr_t) bytes % alignof(struct image) != 0)
		return error_say(err, EINVAL, "policy image: too short or not aligned");
	const struct image *image = bytes;
	image_problem problem = check(image, len);
	if (problem)
		return error_say(err, EINVAL, "policy image: bad %s", problem);
	*ret = image;
	return 0;
}

#define MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define MIX_B UINT64_C(0xd6e8feb86659fd93)

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * MIX_A;
	return hash ^ hash >> 32;
}

static uint64_t load(const void *bytes, size_t len)
{
	uint64_t word = 0;
	memcpy(&word, bytes, len);
	return word;
}

/* Eight bytes at a time. The last word overlaps the one before it: no copying of a length that is not constant. */
static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const char *at = bytes;
	if (len < 4)
		return len == 0 ? hash
				: mix(hash, load(at, 1) << 16 | load(at + len / 2, 1) << 8 | load(at + len - 1, 1));
	if (len < 8)
		return mix(hash, load(at, 4) << 32 | load(at + len - 4, 4));
	for (; len > 8; at += 8, len -= 8)
		hash = mix(hash, load(at, 8));
	return mix(hash, load(at + len - 8, 8));
}

uint32_t image_hash(enum image_rule_kind kind, const void *key, size_t len)
{
	uint64_t hash = mix_bytes((uint64_t) kind << 32 | len, key, len) * MIX_B;
	return (uint32_t) (hash >> 32);
}

uint64_t image_digest(const struct image *image)
{
	const size_t at = offsetof(struct image, fingerprint), behind = at + sizeof(image->fingerprint);
	const char *bytes = (const char *) image;
	uint64_t hash = mix_bytes(MIX_B, bytes, at);
	return mix_bytes(hash, bytes + behind, image->size - behind) * MIX_B;
}
