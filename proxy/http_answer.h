/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy itself says to an HTTP client. */
#pragma once

#include "base/text.h"
#include "proxy/reason.h"

/* The longest answer, with its body. */
#define HTTP_ANSWER_MAX 1024

/* The answer that opens a tunnel (RFC 9110 section 9.3.6). */
extern const char HTTP_TUNNEL_ANSWER[];

/*
 * A whole answer that ends the connection, for a reason with an HTTP status; problem (may be NULL) is a constant
 * sentence more. Nothing of the request is in it.
 */
void http_answer(struct text *text, enum reason reason, const char *problem);

/* The answer to an OPTIONS request that is not to be forwarded any further (RFC 9110 section 7.6.2); as final. */
void http_answer_options(struct text *text);
