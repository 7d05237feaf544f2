/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text text_init(char *buf, size_t size)
{
	buf[0] = '\0';
	return (struct text){ .buf = buf, .size = size };
}

void text_add_bytes(struct text *text, const char *bytes, size_t len)
{
	if (text->cut || len >= text->size - text->len) {
		text->cut = true; /* and stays so: nothing shorter may slip in behind what is missing */
		return;
	}
	memcpy(text->buf + text->len, bytes, len);
	text->len += len;
	text->buf[text->len] = '\0';
}

void text_add(struct text *text, const char *fmt, ...)
{
	if (text->cut)
		return;

	size_t room = text->size - text->len;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text->buf + text->len, room, fmt, ap);
	va_end(ap);

	if (n < 0 || (size_t) n >= room) {
		text->cut = true;
		text->len = strlen(text->buf);
		return;
	}
	text->len += (size_t) n;
}

static bool is_plain(unsigned char c, const char *special)
{
	return c >= 0x20 && c <= 0x7e && !strchr(special, c);
}

void text_add_escaped(struct text *text, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) bytes[i];
		char escape[8];
		if (is_plain(c, "\\"))
			text_add_bytes(text, &bytes[i], 1);
		else
			text_add_bytes(text, escape, (size_t) snprintf(escape, sizeof(escape), "\\x%02x", c));
	}
}

void text_add_json(struct text *text, const char *bytes, size_t len)
{
	text_add_bytes(text, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) bytes[i];
		char escape[8];
		if (is_plain(c, "\\\""))
			text_add_bytes(text, &bytes[i], 1);
		else
			text_add_bytes(text, escape, (size_t) snprintf(escape, sizeof(escape), "\\u%04x", c));
	}
	text_add_bytes(text, "\"", 1);
}
