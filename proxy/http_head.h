/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1 message (RFC 9112): its first line and its fields, parsed where they lie in the caller's
 * buffer. Strict: CRLF only, one space between the parts of the request line, token names, no space before the colon,
 * no obs-fold, no control bytes, HTTP/1.0 and 1.1 (of an origin any 1.x). Nobody behind it looks for a line's end or a
 * colon again: whatever a head says is said once, by these spans. Never touches a socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/parse.h"
#include "proxy/reason.h"

#define HTTP_LINE_MAX 8192 /* bytes of the request line (RFC 9112 section 3 asks for 8000) */
#define HTTP_FIELDS_MAX 100

/* Offset and length in the caller's buffer. */
struct http_span {
	uint32_t offset;
	uint32_t len;
};

struct http_field {
	struct http_span name;
	struct http_span value; /* without white space around it */
};

/* A parse in progress: http_head_init() begins it. What is behind `problem` is whole with PARSE_DONE only. */
struct http_head {
	size_t len;          /* bytes looked at; with PARSE_DONE those of the head, empty line included */
	enum reason reason;  /* with PARSE_BAD: REASON_BAD_REQUEST or REASON_HEAD_TOO_LARGE */
	const char *problem; /* with PARSE_BAD: a constant sentence for the answer, or NULL */

	uint8_t state;           /* the parser's own */
	uint8_t minor;           /* of HTTP/1.x; everything above 1 is 1 */
	uint16_t status;         /* of a response */
	struct http_span method; /* of a request; known from its space on */
	struct http_span target; /* of a request */
	struct http_span phrase; /* of a response */
	uint16_t n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
};

void http_head_init(struct http_head *head);
void http_head_init_response(struct http_head *head);

/*
 * Goes on with a head at buf[head->len..len); the bytes before are those of the call before. max is the most that a
 * head may have. Every byte is looked at once, however they trickle in.
 */
enum parse_result http_head_parse(struct http_head *head, const char *buf, size_t len, size_t max);

/* Methods count every letter's case, names of fields and their keywords none. */
bool http_span_is(const char *buf, struct http_span span, const char *text);
bool http_span_is_nocase(const char *buf, struct http_span span, const char *text);

/* RFC 9110 section 5.6.2 */
bool http_is_token(const char *bytes, size_t len);

/*
 * The next member of a list (RFC 9110 section 5.6.1) in *rest, without white space around it; empty ones are passed
 * over. False: there is none. A comma in a quoted string separates too: no list that is read here has any.
 */
bool http_list_next(const char *buf, struct http_span *rest, struct http_span *ret);
