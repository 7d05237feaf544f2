/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/resolvconf.h"

#include <stdbool.h>
#include <string.h>

#include "proxy/words.h"

static bool word_is(struct words word, const char *text)
{
	return words_len(word) == strlen(text) && memcmp(word.at, text, words_len(word)) == 0;
}

static bool is_scope(struct words word)
{
	for (const char *p = word.at; p < word.end; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			    strchr("-_.", *p)))
			return false;
	return words_len(word) > 0 && words_len(word) < sizeof((struct resolvconf_server *) 0)->scope;
}

static bool parse_server(struct words word, struct resolvconf_server *ret)
{
	struct resolvconf_server server = { 0 };
	const char *percent = memchr(word.at, '%', words_len(word));
	if (percent) {
		struct words scope = { .at = percent + 1, .end = word.end };
		if (!is_scope(scope))
			return false;
		memcpy(server.scope, scope.at, words_len(scope));
		word.end = percent;
	}
	if (!words_address(word, &server.address) || (percent && server.address.family != AF_INET6))
		return false;
	*ret = server;
	return true;
}

size_t resolvconf_servers(const char *text, size_t len, struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX])
{
	size_t n = 0;
	struct words rest = { .at = text, .end = text + len };
	while (rest.at < rest.end && n < RESOLVCONF_SERVERS_MAX) {
		struct words line = words_line(&rest);
		if (word_is(words_next(&line), "nameserver") && parse_server(words_next(&line), &servers[n]))
			n++;
	}
	if (n == 0) {
		servers[0] = (struct resolvconf_server){ .address = { AF_INET, { 127, 0, 0, 1 } } };
		n = 1;
	}
	return n;
}
