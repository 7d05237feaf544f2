/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked content (RFC 9112 section 7.1), decoded in place. Strict: CRLF only, at most eight digits of a size, nothing
 * between it and a ';' or the line's end. Extensions and trailers are looked at for their form, and dropped. Never
 * touches a socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/parse.h"

/* In progress; all zero to begin with. */
struct chunked {
	uint64_t left;       /* of the current chunk's data */
	uint32_t line;       /* bytes of the current size line, or of the trailer section so far */
	uint32_t extensions; /* bytes of all of them so far */
	uint8_t digits;      /* of the current size */
	uint8_t state;
	const char *problem; /* with PARSE_BAD: a constant sentence */
};

/*
 * Takes the next len bytes: the *ret_content bytes of content in them are moved to their front, in order. line_max is
 * the most that a size line, the trailer section, or all chunk extensions together (RFC 9112 section 7.1.1) may have.
 * *ret_used is len but for PARSE_DONE, where what is behind the content is not its, and PARSE_BAD.
 */
enum parse_result chunked_decode(
	struct chunked *chunked, char *bytes, size_t len, size_t line_max, size_t *ret_used, size_t *ret_content);

/* How many bytes there must be still, at the least: as many can be read without reading past the end. */
uint64_t chunked_certain(const struct chunked *chunked);

/* What chunked_wrap() needs in front of the data, and behind. */
#define CHUNKED_FRONT 10
#define CHUNKED_BEHIND 7

/*
 * Makes a chunk of the len bytes at data (none where len is 0), and adds the last chunk where there is to be no other.
 * Returns where it begins, within CHUNKED_FRONT bytes in front of data, and *ret_len.
 */
char *chunked_wrap(char *data, size_t len, bool last, size_t *ret_len);
