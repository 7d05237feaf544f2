/* SPDX-License-Identifier: Apache-2.0 */
/* Where the content of a message ends: RFC 9112 section 6. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/http_head.h"

enum http_framing {
	HTTP_NO_CONTENT,
	HTTP_LENGTH,
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE, /* of a response: nothing says where */
};

/* What the fields say, whatever kind of message it is. */
struct http_framing_fields {
	bool chunked;
	bool has_length;
	uint64_t length; /* at most INT64_MAX */
};

/*
 * Exactly one reading or none: NULL, or a constant sentence that says what is wrong. Both fields, either of them twice,
 * a length that is not 1*DIGIT, a coding other than chunked alone, chunked in an HTTP/1.0 message.
 */
const char *http_framing_read(const struct http_head *head, const char *buf, struct http_framing_fields *ret);
