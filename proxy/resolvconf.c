/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/resolvconf.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* A stretch of text that words are taken from. */
struct cursor {
	const char *at;
	const char *end;
};

static struct cursor next_line(struct cursor *text)
{
	const char *eol = memchr(text->at, '\n', (size_t) (text->end - text->at));
	struct cursor line = { .at = text->at, .end = eol ? eol : text->end };
	text->at = eol ? eol + 1 : text->end;
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The next word, ended by a blank, a comment or the line's end; at == end: there is none. */
static struct cursor next_word(struct cursor *line)
{
	while (line->at < line->end && is_blank(*line->at))
		line->at++;
	struct cursor word = { .at = line->at, .end = line->at };
	while (word.end < line->end && !is_blank(*word.end) && *word.end != '#')
		word.end++;
	if (word.end < line->end && *word.end == '#')
		line->end = word.end;
	line->at = word.end;
	return word;
}

static size_t word_len(struct cursor word)
{
	return (size_t) (word.end - word.at);
}

static bool word_is(struct cursor word, const char *text)
{
	return word_len(word) == strlen(text) && memcmp(word.at, text, word_len(word)) == 0;
}

static bool parse_address(struct cursor word, struct address *ret)
{
	return address_parse4(word.at, word_len(word), ret) || address_parse6(word.at, word_len(word), ret);
}

static bool is_scope(struct cursor word)
{
	for (const char *p = word.at; p < word.end; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			    strchr("-_.", *p)))
			return false;
	return word_len(word) > 0 && word_len(word) < sizeof((struct resolvconf_server *) 0)->scope;
}

static bool parse_server(struct cursor word, struct resolvconf_server *ret)
{
	struct resolvconf_server server = { 0 };
	const char *percent = memchr(word.at, '%', word_len(word));
	if (percent) {
		struct cursor scope = { .at = percent + 1, .end = word.end };
		if (!is_scope(scope))
			return false;
		memcpy(server.scope, scope.at, word_len(scope));
		word.end = percent;
	}
	if (!parse_address(word, &server.address) || (percent && server.address.family != AF_INET6))
		return false;
	*ret = server;
	return true;
}

size_t resolvconf_servers(const char *text, size_t len, struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX])
{
	size_t n = 0;
	struct cursor rest = { .at = text, .end = text + len };
	while (rest.at < rest.end && n < RESOLVCONF_SERVERS_MAX) {
		struct cursor line = next_line(&rest);
		if (word_is(next_word(&line), "nameserver") && parse_server(next_word(&line), &servers[n]))
			n++;
	}
	if (n == 0) {
		servers[0] = (struct resolvconf_server){ .address = { AF_INET, { 127, 0, 0, 1 } } };
		n = 1;
	}
	return n;
}

static bool word_names(struct cursor word, const struct host *host)
{
	size_t len = word_len(word);
	if (len > 1 && word.end[-1] == '.')
		len--;
	return len == host->len && strncasecmp(word.at, host->name, len) == 0;
}

static bool line_names(struct cursor *line, const struct host *host)
{
	for (;;) {
		struct cursor word = next_word(line);
		if (word.at == word.end)
			return false;
		if (word_names(word, host))
			return true;
	}
}

static bool is_known(const struct address *address, const struct address *addresses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(address, &addresses[i]))
			return true;
	return false;
}

size_t hostsfile_lookup(const char *text, size_t len, const struct host *host, struct address *addresses, size_t max)
{
	size_t n = 0;
	struct cursor rest = { .at = text, .end = text + len };
	while (rest.at < rest.end && n < max) {
		struct cursor line = next_line(&rest);
		struct cursor word = next_word(&line);
		struct address address;
		if (word.at < word.end && line_names(&line, host) && parse_address(word, &address) &&
			!is_known(&address, addresses, n))
			addresses[n++] = address;
	}
	return n;
}
