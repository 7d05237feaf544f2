/* SPDX-License-Identifier: Apache-2.0 */
/* What in a head is for this hop alone, and is not passed on: RFC 9110 section 7.6.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/http_head.h"

#define HTTP_NAMED_MAX 32

/* What the Connection fields say. */
struct http_hop {
	bool close;
	bool upgrade;
	uint8_t n;
	struct http_span named[HTTP_NAMED_MAX]; /* fields */
};

/* False: a Connection field is no list of tokens, or names more than HTTP_NAMED_MAX. */
bool http_hop_read(const struct http_head *head, const char *buf, struct http_hop *ret);

/*
 * Whether a field ends here. Framing, Host, Via and Max-Forwards are not its business: what Connection says of them is
 * nothing to go by.
 */
bool http_hop_holds(const struct http_hop *hop, const char *buf, struct http_span name);
