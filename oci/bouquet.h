/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bouquet: the environment variables that send well-behaved clients through the proxy. A value, and what it does to
 * an environment. http_proxy, https_proxy, all_proxy and no_proxy in both cases, NODE_USE_ENV_PROXY=1, OCI_EGRESS=1.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "oci/image.h"

#define BOUQUET_VARIABLES_MAX 32
#define BOUQUET_TEXT_MAX (96 + IMAGE_DIRECT_MAX * NETWORK_TEXT_MAX)

struct bouquet {
	size_t n;
	char text[BOUQUET_VARIABLES_MAX][BOUQUET_TEXT_MAX]; /* "NAME=value" */
};

/* The bouquet for a proxy at addr:port (host byte order). */
void bouquet_make(struct in_addr addr, uint16_t port, struct bouquet *ret);

/* What the policy opens past the proxy joins no_proxy. */
void bouquet_add_direct(struct bouquet *bouquet, const struct image *image);

/* What the bouquet has under this variable's name ("NAME=value" or "NAME", NUL-terminated), NULL: nothing. */
const char *bouquet_find(const struct bouquet *bouquet, const char *variable);

/*
 * Does the bouquet replace this variable ("NAME=value", NUL-terminated)? By name, exactly. What it replaces is dropped
 * wherever it stands in an environment, so that no credentials in it survive and no name is there twice.
 */
bool bouquet_replaces(const struct bouquet *bouquet, const char *variable);
