/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text built in a buffer of the caller's, of a fixed size: always terminated, cut where it does not fit, and `cut` says
 * so. What a stranger wrote goes in by text_add_escaped() or text_add_json().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *buf;
	size_t size; /* of buf, the terminating NUL included */
	size_t len;  /* of the text, without it */
	bool cut;    /* something did not fit */
};

/* An empty text in buf; size > 0. */
struct text text_init(char *buf, size_t size);

void text_add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds bytes as they are, for an answer that is no text. */
void text_add_bytes(struct text *text, const char *bytes, size_t len);

/* Adds bytes, those outside 0x20..0x7e and '\' as \xNN. An escape is never cut in the middle. */
void text_add_escaped(struct text *text, const char *bytes, size_t len);

/*
 * Adds a JSON string (RFC 8259 section 7) with its quotes. Bytes outside 0x20..0x7e become \u00NN, each byte by itself:
 * whatever a stranger sent, the line stays ASCII and valid JSON, and the bytes can be told from it.
 */
void text_add_json(struct text *text, const char *bytes, size_t len);
