/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request head at once and byte by byte: both must come to the same, whatever the bytes. What is forwarded of it must
 * be read as what was asked for, and forwarded again as the same bytes but for one more Via.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_forward.h"

#define HEAD_MAX 16384

static void check(bool holds)
{
	if (!holds)
		abort();
}

static size_t count(const struct http_head *head, const char *buf, const char *name)
{
	size_t n = 0;
	for (unsigned i = 0; i < head->n_fields; i++)
		n += http_span_is_nocase(buf, head->fields[i].name, name);
	return n;
}

/* What an origin reads. */
static void check_forwarded(const struct http_request *request, const char *buf, size_t len)
{
	static const char *const never[] = { "Proxy-Connection", "Proxy-Authorization", "Keep-Alive", "TE", "Trailer",
		"HTTP2-Settings" };
	struct http_head head;
	struct http_framing_fields framing;
	http_head_init(&head);
	check(http_head_parse(&head, buf, len, len) == PARSE_DONE && head.len == len && head.minor == 1);
	check(count(&head, buf, "Host") == 1 && http_span_is_nocase(buf, head.fields[0].name, "Host"));
	check(buf[head.target.offset] == '/' || http_span_is(buf, head.target, "*"));
	check(!http_framing_read(&head, buf, &framing));
	check(framing.chunked == (request->framing == HTTP_CHUNKED));
	check(framing.has_length == (request->framing == HTTP_LENGTH) && framing.length == request->length);
	check(count(&head, buf, "Upgrade") == request->websocket);
	check(count(&head, buf, "Via") >= 1);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		check(count(&head, buf, never[i]) == 0);
}

static void check_forward(const struct http_head *head, const char *buf, const struct http_request *request)
{
	size_t size = head->len + HTTP_FORWARD_MORE;
	char *bytes = malloc(size);
	check(bytes != NULL);
	struct text text = text_init(bytes, size);
	http_forward_request(&text, head, buf, request);
	check(!text.cut);
	if (head->n_fields < HTTP_FIELDS_MAX / 2) /* with ours there may be more than one head can have */
		check_forwarded(request, bytes, text.len);
	free(bytes);
}

static void check_request(const struct http_head *head, const char *buf)
{
	struct host again;
	struct http_request request;
	const char *problem = NULL;
	enum reason reason = http_request_read(head, buf, &request, &problem);
	check((reason == REASON_BAD_REQUEST) == (problem != NULL));
	if (reason != REASON_NONE)
		return;
	check(request.port > 0 && request.is_connect == (memcmp(buf, "CONNECT ", 8) == 0));
	/* what was taken for a name is one, in its canonical form */
	check(request.host.kind != HOST_NAME ||
		(!host_parse(request.host.name, request.host.len, &again) && host_equal(&request.host, &again)));
	if (!request.is_connect && !(request.has_max_forwards && request.max_forwards == 0))
		check_forward(head, buf, &request);
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
		check_request(&at_once, exact);
	}
	free(exact);
	return 0;
}
