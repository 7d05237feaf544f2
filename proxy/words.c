/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/words.h"

#include <string.h>

struct words words_line(struct words *text)
{
	const char *eol = memchr(text->at, '\n', words_len(*text));
	struct words line = { .at = text->at, .end = eol ? eol : text->end };
	text->at = eol ? eol + 1 : text->end;
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

struct words words_next(struct words *line)
{
	while (line->at < line->end && is_blank(*line->at))
		line->at++;
	struct words word = { .at = line->at, .end = line->at };
	while (word.end < line->end && !is_blank(*word.end) && *word.end != '#')
		word.end++;
	if (word.end < line->end && *word.end == '#')
		line->end = word.end;
	line->at = word.end;
	return word;
}

bool words_address(struct words word, struct address *ret)
{
	return address_parse4(word.at, words_len(word), ret) || address_parse6(word.at, words_len(word), ret);
}
