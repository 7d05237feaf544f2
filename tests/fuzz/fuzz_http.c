/* SPDX-License-Identifier: Apache-2.0 */
/* A request head at once and byte by byte: both must come to the same, whatever the bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_request.h"

#define HEAD_MAX 16384

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_target(const struct http_head *head, const char *buf)
{
	struct host again;
	struct http_request request;
	const char *problem = NULL;
	enum reason reason = http_request_read(head, buf, &request, &problem);
	if (reason == REASON_NONE) {
		check(request.port > 0 && request.is_connect == (memcmp(buf, "CONNECT ", 8) == 0));
		/* what was taken for a name is one, in its canonical form */
		check(request.host.kind != HOST_NAME || (!host_parse(request.host.name, request.host.len, &again) &&
								host_equal(&request.host, &again)));
	}
	check((reason == REASON_BAD_REQUEST) == (problem != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size ? size : 1); /* a byte too far is seen */
	check(exact != NULL);
	if (size)
		memcpy(exact, data, size);

	struct http_head at_once, slowly;
	http_head_init(&at_once);
	http_head_init(&slowly);
	enum parse_result a = http_head_parse(&at_once, exact, size, HEAD_MAX), b = PARSE_MORE;
	for (size_t n = 1; n <= size && b == PARSE_MORE; n++)
		b = http_head_parse(&slowly, exact, n, HEAD_MAX);
	check(a == b && at_once.len == slowly.len && at_once.len <= size);
	check(a != PARSE_BAD || at_once.reason == slowly.reason);
	if (a == PARSE_DONE) {
		check(memcmp(exact + at_once.len - 4, "\r\n\r\n", 4) == 0);
		check_target(&at_once, exact);
	}
	free(exact);
	return 0;
}
