/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bouquet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

enum value {
	VALUE_PROXY,  /* the proxy's URL. "http://" for every scheme: it says how to talk to the proxy */
	VALUE_DIRECT, /* what is not worth a hop: the container's own loopback; and what a policy opens */
	VALUE_ONE,
};

/*
 * One row per variable. Both cases, since curl reads only the small http_proxy and some clients only the capital ones.
 */
static const struct row {
	const char *name;
	enum value value;
} rows[] = {
	{ "http_proxy", VALUE_PROXY },
	{ "HTTP_PROXY", VALUE_PROXY },
	{ "https_proxy", VALUE_PROXY },
	{ "HTTPS_PROXY", VALUE_PROXY },
	{ "all_proxy", VALUE_PROXY },
	{ "ALL_PROXY", VALUE_PROXY },
	{ "no_proxy", VALUE_DIRECT },
	{ "NO_PROXY", VALUE_DIRECT },
	{ "NODE_USE_ENV_PROXY", VALUE_ONE },
	{ "OCI_EGRESS", VALUE_ONE },
};

static_assert(ARRAY_SIZE(rows) <= BOUQUET_VARIABLES_MAX, "room for every row");

void bouquet_make(struct in_addr addr, uint16_t port, struct bouquet *ret)
{
	char ip[INET_ADDRSTRLEN], url[48];
	(void) inet_ntop(AF_INET, &addr, ip, sizeof(ip)); /* fails for no address */
	(void) snprintf(url, sizeof(url), "http://%s:%u", ip, port);

	const char *values[] = {
		[VALUE_PROXY] = url,
		[VALUE_DIRECT] = "localhost,127.0.0.1,127.0.0.0/8,::1",
		[VALUE_ONE] = "1",
	};
	*ret = (struct bouquet){ .n = ARRAY_SIZE(rows) };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		(void) snprintf(ret->text[i], sizeof(ret->text[i]), "%s=%s", rows[i].name, values[rows[i].value]);
}

/* Everything in front of '='; of a variable without one, all. */
static size_t name_length(const char *variable)
{
	return strcspn(variable, "=");
}

const char *bouquet_find(const struct bouquet *bouquet, const char *variable)
{
	size_t len = name_length(variable);
	for (size_t i = 0; i < bouquet->n; i++) {
		if (name_length(bouquet->text[i]) == len && memcmp(bouquet->text[i], variable, len) == 0)
			return bouquet->text[i];
	}
	return NULL;
}

bool bouquet_replaces(const struct bouquet *bouquet, const char *variable)
{
	return bouquet_find(bouquet, variable) != NULL;
}

void bouquet_add_direct(struct bouquet *bouquet, const struct image *image)
{
	const struct image_network *direct = image_records(image, image->direct);
	for (uint32_t i = 0; i < image->direct.count; i++) {
		struct network network = { .base.family = direct[i].family, .prefix = (uint8_t) direct[i].prefix };
		char text[NETWORK_TEXT_MAX];
		memcpy(network.base.bytes, direct[i].bytes, sizeof(network.base.bytes));
		network_format(&network, text);
		for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
			size_t len = strlen(bouquet->text[row]);
			if (rows[row].value == VALUE_DIRECT)
				(void) snprintf(
					bouquet->text[row] + len, sizeof(bouquet->text[row]) - len, ",%s", text);
		}
	}
}
