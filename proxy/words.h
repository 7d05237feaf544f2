/* SPDX-License-Identifier: Apache-2.0 */
/* Text of lines and words with comments, as resolv.conf(5) and hosts(5) are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

/* A stretch of text that lines or words are taken from, or one that was taken. */
struct words {
	const char *at;
	const char *end;
};

static inline size_t words_len(struct words words)
{
	return (size_t) (words.end - words.at);
}

/* The next line, without its end. */
struct words words_line(struct words *text);

/* The next word, ended by a blank, a comment or the line's end; at == end: there is none. */
struct words words_next(struct words *line);

/* Is the word an address, in canonical text? */
bool words_address(struct words word, struct address *ret);
