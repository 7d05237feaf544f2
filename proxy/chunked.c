/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/chunked.h"

#include <stdio.h>
#include <string.h>

#include "proxy/http_head.h"

/*
 * state            on                      next
 * IN_SIZE          hexadecimal digit       IN_SIZE
 *                  ";"                     IN_EXTENSION
 *                  CR                      IN_SIZE_LF
 * IN_EXTENSION     HTAB, SP-~, 0x80-0xff   IN_EXTENSION
 *                  CR                      IN_SIZE_LF
 * IN_SIZE_LF       LF                      IN_DATA, IN_TRAILER where the size is 0
 * IN_DATA          as many bytes           IN_DATA_CR
 * IN_DATA_CR       CR                      IN_DATA_LF
 * IN_DATA_LF       LF                      IN_SIZE
 * IN_TRAILER       CR                      IN_END_LF
 *                  token byte              IN_TRAILER_NAME
 * IN_TRAILER_NAME  token byte              IN_TRAILER_NAME
 *                  ":"                     IN_TRAILER_VALUE
 * IN_TRAILER_VALUE HTAB, SP-~, 0x80-0xff   IN_TRAILER_VALUE
 *                  CR                      IN_TRAILER_LF
 * IN_TRAILER_LF    LF                      IN_TRAILER
 * IN_END_LF        LF                      IS_OVER
 */
enum state {
	IN_SIZE,
	IN_EXTENSION,
	IN_SIZE_LF,
	IN_DATA,
	IN_DATA_CR,
	IN_DATA_LF,
	IN_TRAILER,
	IN_TRAILER_NAME,
	IN_TRAILER_VALUE,
	IN_TRAILER_LF,
	IN_END_LF,
	IS_OVER,
};

#define SIZE_DIGITS_MAX 8

static bool go(struct chunked *chunked, enum state state)
{
	chunked->state = (uint8_t) state;
	return true;
}

static bool bad(struct chunked *chunked, const char *problem)
{
	chunked->problem = problem;
	return false;
}

static bool is_text(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool is_token(char c)
{
	return http_is_token(&c, 1);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool step_size(struct chunked *chunked, char c)
{
	int digit = hex_digit(c);
	if (digit >= 0 && chunked->digits == SIZE_DIGITS_MAX)
		return bad(chunked, "A chunk is too large, or its size has too many digits.");
	if (digit >= 0) {
		chunked->digits++;
		chunked->left = chunked->left << 4 | (unsigned) digit;
		return true;
	}
	if (chunked->digits > 0 && c == ';')
		return go(chunked, IN_EXTENSION);
	if (chunked->digits > 0 && c == '\r')
		return go(chunked, IN_SIZE_LF);
	return bad(chunked, "A chunk does not begin with its size.");
}

static bool end_size(struct chunked *chunked)
{
	chunked->line = 0;
	chunked->digits = 0;
	return go(chunked, chunked->left > 0 ? IN_DATA : IN_TRAILER);
}

static bool end_chunk(struct chunked *chunked)
{
	chunked->line = 0;
	return go(chunked, IN_SIZE);
}

static bool step_trailer(struct chunked *chunked, char c)
{
	switch ((enum state) chunked->state) {
	case IN_TRAILER:
		if (c == '\r')
			return go(chunked, IN_END_LF);
		return is_token(c) ? go(chunked, IN_TRAILER_NAME)
				   : bad(chunked, "A trailer field does not begin with a name.");
	case IN_TRAILER_NAME:
		if (c == ':')
			return go(chunked, IN_TRAILER_VALUE);
		return is_token(c) || bad(chunked, "A trailer field's name has a forbidden byte.");
	case IN_TRAILER_VALUE:
		if (c == '\r')
			return go(chunked, IN_TRAILER_LF);
		return is_text((unsigned char) c) || bad(chunked, "A trailer field's value has a control byte.");
	case IN_TRAILER_LF:
		return c == '\n' ? go(chunked, IN_TRAILER) : bad(chunked, "A trailer field does not end in CR LF.");
	default:
		return c == '\n' ? go(chunked, IS_OVER) : bad(chunked, "The content does not end in CR LF.");
	}
}

static bool step(struct chunked *chunked, char c)
{
	switch ((enum state) chunked->state) {
	case IN_SIZE:
		return step_size(chunked, c);
	case IN_EXTENSION:
		if (c == '\r')
			return go(chunked, IN_SIZE_LF);
		return is_text((unsigned char) c) || bad(chunked, "A chunk extension has a control byte.");
	case IN_SIZE_LF:
		return c == '\n' ? end_size(chunked) : bad(chunked, "A chunk's size does not end in CR LF.");
	case IN_DATA_CR:
		return c == '\r' ? go(chunked, IN_DATA_LF) : bad(chunked, "A chunk is longer than its size.");
	case IN_DATA_LF:
		return c == '\n' ? end_chunk(chunked) : bad(chunked, "A chunk does not end in CR LF.");
	default:
		return step_trailer(chunked, c);
	}
}

/* Data, of which there is some at bytes[*at]. */
static void take_data(struct chunked *chunked, char *bytes, size_t len, size_t *at, size_t *content)
{
	size_t n = len - *at < chunked->left ? len - *at : (size_t) chunked->left;
	memmove(bytes + *content, bytes + *at, n);
	*at += n;
	*content += n;
	chunked->left -= n;
	if (chunked->left == 0)
		(void) go(chunked, IN_DATA_CR);
}

/* For one byte more of what is not content. */
static bool has_room(struct chunked *chunked, size_t line_max)
{
	if (chunked->state == IN_EXTENSION && chunked->extensions++ == line_max)
		return bad(chunked, "There are too many chunk extensions.");
	return chunked->line++ < line_max || bad(chunked, "A chunk's size line, or the trailer section, is too long.");
}

enum parse_result chunked_decode(
	struct chunked *chunked, char *bytes, size_t len, size_t line_max, size_t *ret_used, size_t *ret_content)
{
	size_t at = 0, content = 0;
	bool fine = true;
	while (fine && at < len && chunked->state != IS_OVER) {
		if (chunked->state == IN_DATA) {
			take_data(chunked, bytes, len, &at, &content);
			continue;
		}
		fine = has_room(chunked, line_max) && step(chunked, bytes[at]);
		at += fine;
	}
	*ret_used = at;
	*ret_content = content;
	if (!fine)
		return PARSE_BAD;
	return chunked->state == IS_OVER ? PARSE_DONE : PARSE_MORE;
}

/* The shortest ends: "CRLF" data "CRLF" "0 CRLF" "CRLF". */
uint64_t chunked_certain(const struct chunked *chunked)
{
	const uint64_t crlf = 2, last = 5;
	bool has_data = chunked->left > 0;
	switch ((enum state) chunked->state) {
	case IN_SIZE:
	case IN_EXTENSION:
		if (chunked->digits == 0)
			return last;
		return has_data ? crlf + chunked->left + crlf + last : crlf + crlf;
	case IN_SIZE_LF:
		return has_data ? 1 + chunked->left + crlf + last : 1 + crlf;
	case IN_DATA:
		return chunked->left + crlf + last;
	case IN_DATA_CR:
		return crlf + last;
	case IN_DATA_LF:
		return 1 + last;
	case IN_TRAILER:
		return crlf;
	case IN_TRAILER_NAME:
		return 1 + crlf + crlf;
	case IN_TRAILER_VALUE:
		return crlf + crlf;
	case IN_TRAILER_LF:
		return 1 + crlf;
	case IN_END_LF:
		return 1;
	case IS_OVER:
		return 0;
	}
	return 0;
}

char *chunked_wrap(char *data, size_t len, bool last, size_t *ret_len)
{
	static const char end[] = "0\r\n\r\n";
	char size[CHUNKED_FRONT + 1];
	size_t front = len > 0 ? (size_t) snprintf(size, sizeof(size), "%x\r\n", (unsigned) len) : 0;
	size_t behind = 0;
	memcpy(data - front, size, front);
	if (len > 0) {
		memcpy(data + len, "\r\n", 2);
		behind = 2;
	}
	if (last) {
		memcpy(data + len + behind, end, sizeof(end) - 1);
		behind += sizeof(end) - 1;
	}
	*ret_len = front + len + behind;
	return data - front;
}
