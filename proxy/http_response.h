/* SPDX-License-Identifier: Apache-2.0 */
/* What an origin's response is: RFC 9110 section 15, and RFC 9112 section 6.3. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/http_framing.h"
#include "proxy/http_hop.h"

struct http_request;

struct http_response {
	bool is_interim; /* 1xx but for the 101 that grants an upgrade: the one that answers the request is to come */
	bool is_upgrade; /* the websocket that was asked for */
	bool keeps;      /* the origin's connection may carry another request after it */
	bool has_length; /* there is a Content-Length that says something of the request's target, also where no content
			    is */
	uint64_t length;
	enum http_framing framing;
	struct http_hop hop;
};

/* Reads a complete head that answers request. NULL, or a constant sentence that says why it is no such thing. */
const char *http_response_read(
	const struct http_head *head, const char *buf, bool to_head, bool to_websocket, struct http_response *ret);
