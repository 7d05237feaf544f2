/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy itself says to an HTTP client. */
#pragma once

#include <stdbool.h>

#include "base/text.h"
#include "proxy/refusal.h"

/* The longest answer, with its body. */
#define HTTP_ANSWER_MAX (REFUSAL_TEXT_MAX + 1024)

/* The answer that opens a tunnel (RFC 9110 section 9.3.6). */
extern const char HTTP_TUNNEL_ANSWER[];

/* What is known of whom it goes to. */
struct http_answer_to {
	bool wants_json; /* proxy/http_accept.h */
	bool is_head;    /* asked by HEAD: the content is not sent, RFC 9110 section 9.3.2 */
};

/*
 * A whole answer that ends the connection, for a reason with an HTTP status: with Proxy-Status (RFC 9209), and in words
 * as text or JSON.
 */
void http_answer(struct text *text, const struct refusal *refusal, struct http_answer_to to);

/* The answer to an OPTIONS request that is not to be forwarded any further (RFC 9110 section 7.6.2); as final. */
void http_answer_options(struct text *text);
