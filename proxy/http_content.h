/* SPDX-License-Identifier: Apache-2.0 */
/* Content on its way through: out of one framing, into another. Works on the caller's bytes, and touches no socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/chunked.h"
#include "proxy/http_framing.h"

struct http_content {
	enum http_framing in, out;
	bool complete; /* all of it has come */
	uint64_t left; /* HTTP_LENGTH */
	size_t line_max;
	struct chunked chunked;
};

/* length only of HTTP_LENGTH; line_max is chunked_decode()'s. */
void http_content_init(
	struct http_content *content, enum http_framing in, enum http_framing out, uint64_t length, size_t line_max);

/* How many bytes there must be still, at the least; UINT64_MAX: nobody knows. */
uint64_t http_content_certain(const struct http_content *content);

/*
 * Takes the next len bytes, as chunked_decode() does. PARSE_DONE: it is complete, with the byte in front of
 * bytes[*ret_used].
 */
enum parse_result http_content_take(
	struct http_content *content, char *bytes, size_t len, size_t *ret_used, size_t *ret_content);

/* The sender's end of file. False: something is missing. */
bool http_content_end(struct http_content *content);
