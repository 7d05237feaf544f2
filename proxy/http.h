/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1 request (RFC 9112), parsed where it lies in the caller's buffer, and the answers to it. Strict:
 * CRLF only, one space between the parts of the request line, token names, no space before the colon, no obs-fold, no
 * control bytes, HTTP/1.0 and 1.1. Never touches a socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "base/text.h"
#include "proxy/parse.h"
#include "proxy/reason.h"

#define HTTP_LINE_MAX 8192 /* bytes of the request line (RFC 9112 section 3 asks for 8000) */
#define HTTP_FIELDS_MAX 100

/* The longest answer, with its body. */
#define HTTP_ANSWER_MAX 1024

/* Offset and length in the caller's buffer. */
struct http_span {
	uint32_t offset;
	uint32_t len;
};

/* A parse in progress. All zero to begin with; what is behind `len` is the parser's own. */
struct http_head {
	size_t len;          /* bytes looked at; with PARSE_DONE those of the head, empty line included */
	enum reason reason;  /* with PARSE_BAD: REASON_BAD_REQUEST or REASON_HEAD_TOO_LARGE */
	const char *problem; /* with PARSE_BAD: a constant sentence for the answer, or NULL */

	uint8_t state;
	uint8_t minor; /* of HTTP/1.x */
	uint16_t fields;
	struct http_span method, target, name, value;
	struct http_span host;
	uint16_t hosts,
		contents; /* how many Host, and Content-Length or Transfer-Encoding fields that announce content */
};

/*
 * Goes on with a head at buf[head->len..len); the bytes before are those of the call before. max is the most that a
 * head may have. Every byte is looked at once, however they trickle in.
 */
enum parse_result http_parse_head(struct http_head *head, const char *buf, size_t len, size_t max);

/*
 * What a complete head asks for. REASON_NONE with the target of a CONNECT, REASON_METHOD_NOT_ALLOWED, or
 * REASON_BAD_REQUEST (target that is no host:port; Host missing, more than one, or not the target's; content). The
 * results are untouched unless REASON_NONE, *ret_problem unless REASON_BAD_REQUEST.
 */
enum reason http_connect_target(const struct http_head *head, const char *buf, struct host *ret_host,
	uint16_t *ret_port, const char **ret_problem);

/* The answer that opens a tunnel (RFC 9110 section 9.3.6). */
extern const char HTTP_TUNNEL_ANSWER[];

/*
 * A whole answer that ends the connection, for a reason with an HTTP status; problem (may be NULL) is a constant
 * sentence more. Nothing of the request is in it.
 */
void http_answer(struct text *text, enum reason reason, const char *problem);
