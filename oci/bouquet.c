/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bouquet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"

#define PATTERNS_MAX 16 /* that one network is said with, to a JVM */
#define PATTERN_SIZE sizeof("|255.255.255.255")
#define JAVA_SIZE (256 + IMAGE_DIRECT_MAX * PATTERNS_MAX * PATTERN_SIZE)
#define DIRECT_ROWS_MAX 6
#define DIRECT_SIZE (64 + IMAGE_DIRECT_MAX * NETWORK_TEXT_MAX)

/* So that nothing that a policy can say is ever cut. */
static_assert(
	BOUQUET_ROWS_MAX * 96 + DIRECT_ROWS_MAX * DIRECT_SIZE + 2 * JAVA_SIZE + IMAGE_SET_BYTES_MAX + BOUQUET_OWN_MAX <=
		BOUQUET_SIZE,
	"room for every text");

struct proxy {
	const struct image *image;
	char ip[INET_ADDRSTRLEN];
	unsigned port;
};

static void add_direct(struct text *text, const struct image *image)
{
	text_add(text, "localhost,127.0.0.1,127.0.0.0/8,::1");
	if (!image)
		return;
	const struct image_network *direct = image_records(image, image->direct);
	for (uint32_t i = 0; i < image->direct.count; i++) {
		struct network network = { .base.family = direct[i].family, .prefix = (uint8_t) direct[i].prefix };
		char name[NETWORK_TEXT_MAX];
		memcpy(network.base.bytes, direct[i].bytes, sizeof(network.base.bytes));
		network_format(&network, name);
		text_add(text, ",%s", name);
	}
}

/* A JVM knows a '*' at the end, no networks: 172.16.0.0/12 is 172.16.* to 172.31.*. What takes more stays out. */
static void add_java_network(struct text *text, const struct image_network *network)
{
	unsigned octets = (network->prefix + 7u) / 8, spare = octets * 8 - network->prefix;
	if (network->family != AF_INET || octets == 0 || 1u << spare > PATTERNS_MAX)
		return;
	for (unsigned i = 0; i < 1u << spare; i++) {
		for (unsigned o = 0; o < octets; o++)
			text_add(text, "%c%u", o ? '.' : '|', network->bytes[o] + (o + 1 == octets ? i : 0));
		text_add(text, "%s", octets < 4 ? ".*" : "");
	}
}

/* The default of http.nonProxyHosts is our own, and it holds for https as well. */
static void add_java(struct text *text, const struct proxy *proxy)
{
	text_add(text, "-Dhttp.proxyHost=%s -Dhttp.proxyPort=%u -Dhttps.proxyHost=%s -Dhttps.proxyPort=%u", proxy->ip,
		proxy->port, proxy->ip, proxy->port);
	if (!proxy->image || proxy->image->direct.count == 0)
		return;
	const struct image_network *direct = image_records(proxy->image, proxy->image->direct);
	text_add(text, " -Dhttp.nonProxyHosts=localhost|127.*|[::1]");
	for (uint32_t i = 0; i < proxy->image->direct.count; i++)
		add_java_network(text, &direct[i]);
}

static void add_value(struct text *text, enum bouquet_value value, const struct proxy *proxy)
{
	bool socks = proxy->image && proxy->image->environment.all_proxy == IMAGE_ALL_PROXY_SOCKS5H;
	switch (value) {
	case BOUQUET_URL:
		text_add(text, "http://%s:%u", proxy->ip, proxy->port);
		break;
	case BOUQUET_ALL_URL:
		text_add(text, "%s://%s:%u", socks ? "socks5h" : "http", proxy->ip, proxy->port);
		break;
	case BOUQUET_HOST_PORT:
		text_add(text, "%s:%u", proxy->ip, proxy->port);
		break;
	case BOUQUET_DIRECT:
		add_direct(text, proxy->image);
		break;
	case BOUQUET_ONE:
		text_add(text, "1");
		break;
	case BOUQUET_TRUE:
		text_add(text, "true");
		break;
	case BOUQUET_JAVA:
		add_java(text, proxy);
		break;
	case BOUQUET_OUT:
		break;
	}
}

/* A text that is written behind the last one, and then counted. */
static struct text begin(struct bouquet *bouquet)
{
	bouquet->at[bouquet->n + bouquet->n_out] = (uint32_t) bouquet->used;
	return text_init(bouquet->bytes + bouquet->used, sizeof(bouquet->bytes) - bouquet->used);
}

/* Everything in front of '='; of a variable without one, all. */
static size_t name_length(const char *variable)
{
	return strcspn(variable, "=");
}

/* Does the policy say something else about it? */
static bool is_policys(const struct image *image, const char *name)
{
	if (!image)
		return false;
	const struct image_text *set = image_records(image, image->environment.set);
	const struct image_text *keep = image_records(image, image->environment.keep);
	size_t len = strlen(name);
	for (uint32_t i = 0; i < image->environment.set.count; i++) {
		const char *variable = image_string(image, set[i]);
		if (strncmp(variable, name, len) == 0 && variable[len] == '=')
			return true;
	}
	for (uint32_t i = 0; i < image->environment.keep.count; i++)
		if (strcmp(image_string(image, keep[i]), name) == 0)
			return true;
	return false;
}

static bool has_row(const struct image *image, const struct bouquet_row *row)
{
	enum image_profile profile = image ? image->environment.profile : IMAGE_PROFILE_PROXY;
	return row->profile <= profile && !is_policys(image, row->name);
}

static void add_rows(struct bouquet *bouquet, const struct proxy *proxy)
{
	for (const struct bouquet_row *row = bouquet_rows; row->name; row++) {
		if (row->value == BOUQUET_OUT || !has_row(proxy->image, row))
			continue;
		struct text text = begin(bouquet);
		text_add(&text, "%s=", row->name);
		add_value(&text, row->value, proxy);
		if (row->value == BOUQUET_JAVA)
			bouquet->appended = bouquet->n;
		bouquet->used += text.len + 1;
		bouquet->n++;
	}
}

static void add_set(struct bouquet *bouquet, const struct image *image)
{
	const struct image_text *set = image_records(image, image->environment.set);
	for (uint32_t i = 0; i < image->environment.set.count; i++) {
		struct text text = begin(bouquet);
		text_add_bytes(&text, image_string(image, set[i]), set[i].len);
		bouquet->used += text.len + 1;
		bouquet->n++;
	}
}

static void add_out(struct bouquet *bouquet, const struct image *image)
{
	for (const struct bouquet_row *row = bouquet_rows; row->name; row++) {
		if (row->value != BOUQUET_OUT || !has_row(image, row))
			continue;
		struct text text = begin(bouquet);
		text_add(&text, "%s", row->name);
		bouquet->used += text.len + 1;
		bouquet->n_out++;
	}
}

void bouquet_make(const struct image *image, struct in_addr addr, uint16_t port, struct bouquet *ret)
{
	struct proxy proxy = { .image = image, .port = port };
	(void) inet_ntop(AF_INET, &addr, proxy.ip, sizeof(proxy.ip)); /* fails for no address */
	ret->n = ret->n_out = ret->used = 0;
	ret->appended = BOUQUET_NONE;
	add_rows(ret, &proxy);
	if (image)
		add_set(ret, image);
	add_out(ret, image);
}

void bouquet_leave_appended(struct bouquet *bouquet)
{
	if (bouquet->appended == BOUQUET_NONE)
		return;
	size_t behind = bouquet->n + bouquet->n_out - bouquet->appended - 1;
	memmove(bouquet->at + bouquet->appended, bouquet->at + bouquet->appended + 1, behind * sizeof(*bouquet->at));
	bouquet->n--;
	bouquet->appended = BOUQUET_NONE;
}

static bool ends_with(const char *value, size_t len, const char *end)
{
	size_t end_len = strlen(end);
	return len >= end_len && memcmp(value + len - end_len, end, end_len) == 0 &&
	       (len == end_len || value[len - end_len - 1] == ' ');
}

void bouquet_adopt(struct bouquet *bouquet, const char *variable, size_t len)
{
	if (bouquet->appended == BOUQUET_NONE)
		return;
	const char *ours = bouquet_text(bouquet, bouquet->appended);
	size_t head = name_length(ours) + 1;
	if (len < head || memcmp(variable, ours, head) != 0)
		return;

	if (len > BOUQUET_OWN_MAX) {
		bouquet_leave_appended(bouquet);
		return;
	}
	if (len > head) {
		uint32_t at = (uint32_t) bouquet->used;
		struct text text = text_init(bouquet->bytes + at, sizeof(bouquet->bytes) - at);
		text_add_bytes(&text, variable, len);
		if (!ends_with(variable + head, len - head, ours + head))
			text_add(&text, " %s", ours + head);
		bouquet->used += text.len + 1;
		bouquet->at[bouquet->appended] = at;
	}
	bouquet->appended = BOUQUET_NONE; /* of two of a name programs see the first: the others go */
}

static const char *find(const struct bouquet *bouquet, size_t n, const char *variable)
{
	size_t len = name_length(variable);
	for (size_t i = 0; i < n; i++) {
		const char *ours = bouquet_text(bouquet, i);
		if (strncmp(ours, variable, len) == 0 && (ours[len] == '=' || ours[len] == '\0') && len > 0)
			return ours;
	}
	return NULL;
}

const char *bouquet_find(const struct bouquet *bouquet, const char *variable)
{
	return find(bouquet, bouquet->n, variable);
}

bool bouquet_replaces(const struct bouquet *bouquet, const char *variable)
{
	return find(bouquet, bouquet->n + bouquet->n_out, variable) != NULL;
}
