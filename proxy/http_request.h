/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks for, and of whom: RFC 9110, and RFC 9112 section 3. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/host.h"
#include "proxy/http_framing.h"
#include "proxy/http_hop.h"

/* Of an http:// URL that names none. */
#define HTTP_PORT 80

/* What we are called in Via (RFC 9110 section 7.6.3). */
#define HTTP_PSEUDONYM "oci-egress"

struct http_request {
	bool is_connect;
	struct host host;
	uint16_t port;

	/* of all others */
	struct http_span
		path; /* and query; empty where there is none, and begins with '?' where only the path is missing */
	bool is_head;
	bool is_options;
	bool is_idempotent; /* RFC 9110 section 9.2.2 */
	bool keeps;         /* the client's connection may carry another one after it */
	bool websocket;     /* asks for the one upgrade that is granted */
	bool expects;       /* 100-continue */
	bool has_max_forwards;
	uint64_t max_forwards; /* of OPTIONS */
	enum http_framing framing;
	uint64_t length; /* with HTTP_LENGTH */
	struct http_hop hop;
};

/*
 * Reads a complete head. REASON_NONE, or why it is not served: REASON_BAD_REQUEST, REASON_METHOD_NOT_ALLOWED,
 * REASON_LOOP, REASON_EXPECTATION. *ret is whole with REASON_NONE only; *ret_problem is set with REASON_BAD_REQUEST
 * only, to a constant sentence.
 */
enum reason http_request_read(
	const struct http_head *head, const char *buf, struct http_request *ret, const char **ret_problem);
