/* SPDX-License-Identifier: Apache-2.0 */
/* What a SOCKS5 client says, at once and byte by byte: both must come to the same, whatever the bytes. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/socks.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Returns how many bytes the greeting has; 0: it is none, or not complete. */
static size_t greet(const uint8_t *bytes, size_t size)
{
	size_t len = 0, slow_len = 0;
	enum socks_method method = SOCKS_NO_AUTHENTICATION, slow_method = SOCKS_NO_AUTHENTICATION;
	enum parse_result at_once = socks_parse_greeting(bytes, size, &len, &method), slowly = PARSE_MORE;
	size_t n = 0;
	while (n < size && slowly == PARSE_MORE)
		slowly = socks_parse_greeting(bytes, ++n, &slow_len, &slow_method);
	check(at_once == slowly);
	if (at_once != PARSE_DONE)
		return 0;
	check(len == slow_len && len == n && len <= SOCKS_GREETING_MAX && method == slow_method);
	return len;
}

static void ask(const uint8_t *bytes, size_t size)
{
	struct socks_request request = { 0 }, slow = { 0 };
	enum parse_result at_once = socks_parse_request(bytes, size, &request), slowly = PARSE_MORE;
	size_t n = 0;
	while (n < size && slowly == PARSE_MORE)
		slowly = socks_parse_request(bytes, ++n, &slow);
	check(at_once == slowly && n <= SOCKS_REQUEST_MAX);
	if (at_once == PARSE_BAD) {
		check(request.reason == slow.reason);
		check(socks_reply_of(request.reason) != SOCKS_SUCCEEDED);
	} else if (at_once == PARSE_DONE) {
		struct host again;
		check(request.len == n && request.port > 0 && host_equal(&request.host, &slow.host));
		check(request.host.kind == HOST_ADDRESS || (!host_parse(request.host.name, request.host.len, &again) &&
								   host_equal(&request.host, &again)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1); /* a byte too far is seen */
	check(exact != NULL);
	if (size)
		memcpy(exact, data, size);
	size_t greeting = greet(exact, size);
	ask(exact + greeting, size - greeting);
	free(exact);
	return 0;
}
