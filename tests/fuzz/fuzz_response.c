/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a response, after a byte that says what was asked for: at once and byte by byte it must come to the same,
 * and what is passed on of it must be read as what was judged.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/http_forward.h"

#define HEAD_MAX 16384

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* What a client reads. */
static void check_passed_on(const struct http_response *response, enum http_framing out, const char *buf, size_t len)
{
	struct http_head head;
	struct http_framing_fields framing;
	http_head_init_response(&head);
	check(http_head_parse(&head, buf, len, len) == PARSE_DONE && head.len == len && head.minor == 1);
	check(!http_framing_read(&head, buf, &framing));
	check(framing.chunked == (out == HTTP_CHUNKED));
	check(out != HTTP_LENGTH || (framing.has_length && framing.length == response->length));
	check(!framing.has_length || response->has_length);
	for (unsigned i = 0; i < head.n_fields; i++) {
		struct http_span name = head.fields[i].name;
		check(name.len < 6 || strncasecmp(buf + name.offset, "Proxy-", 6) != 0);
		check(response->is_upgrade || !http_span_is_nocase(buf, name, "Upgrade"));
	}
}

static void check_response(const struct http_head *head, const char *buf, uint8_t asked)
{
	struct http_response response;
	if (http_response_read(head, buf, asked & 1, asked & 2, &response))
		return;
	check(!response.is_upgrade || head->status == 101);
	check(!(asked & 1) || response.framing == HTTP_NO_CONTENT);
	enum http_framing out = response.framing == HTTP_UNTIL_CLOSE ? HTTP_CHUNKED : response.framing;
	size_t size = head->len + HTTP_FORWARD_MORE;
	char *bytes = malloc(size);
	check(bytes != NULL);
	struct text text = text_init(bytes, size);
	http_forward_response(&text, head, buf, &response, out, asked & 4);
	check(!text.cut);
	if (head->n_fields < HTTP_FIELDS_MAX / 2)
		check_passed_on(&response, out, bytes, text.len);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	uint8_t asked = data[0];
	data++;
	size--;
	char *exact = malloc(size ? size : 1); /* a byte too far is seen */
	check(exact != NULL);
	if (size)
		memcpy(exact, data, size);

	struct http_head at_once, slowly;
	http_head_init_response(&at_once);
	http_head_init_response(&slowly);
	enum parse_result a = http_head_parse(&at_once, exact, size, HEAD_MAX), b = PARSE_MORE;
	for (size_t n = 1; n <= size && b == PARSE_MORE; n++)
		b = http_head_parse(&slowly, exact, n, HEAD_MAX);
	check(a == b && at_once.len == slowly.len && at_once.len <= size);
	if (a == PARSE_DONE) {
		check(at_once.status >= 100 && at_once.status <= 999);
		check_response(&at_once, exact, asked);
	}
	free(exact);
	return 0;
}
