/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_answer.h"

#include <string.h>

#include "base/cleanup.h"

#define METHODS "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, PATCH"

const char HTTP_TUNNEL_ANSWER[] = "HTTP/1.1 200 Connection established\r\n\r\n";

static const char *status_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 417, "Expectation Failed" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 508, "Loop Detected" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return ""; /* the phrase may be empty, RFC 9112 section 4 */
}

static void add_words(struct text *text, const struct refusal *refusal)
{
	text_add(text, "oci-egress: %s: ", reason_code(refusal->reason));
	refusal_add_sentence(text, refusal);
	text_add(text, "\n");
	if (refusal_add_subject(text, refusal))
		text_add(text, "\n");
}

static bool is_worth_trying_again(unsigned status)
{
	return status == 429 || status == 503;
}

void http_answer(struct text *text, const struct refusal *refusal, struct http_answer_to to)
{
	unsigned status = reason_http_status(refusal->reason);
	const char *error = reason_proxy_status(refusal->reason);
	char buf[REFUSAL_TEXT_MAX];
	struct text content = text_init(buf, sizeof(buf));
	if (to.wants_json) {
		refusal_add_json(&content, refusal);
		text_add(&content, "\n");
	} else {
		add_words(&content, refusal);
	}

	text_add(text, "HTTP/1.1 %u %s\r\n", status, status_phrase(status));
	if (refusal->reason == REASON_METHOD_NOT_ALLOWED)
		text_add(text, "Allow: " METHODS "\r\n");
	if (is_worth_trying_again(status))
		text_add(text, "Retry-After: 1\r\n");
	if (error)
		text_add(text, "Proxy-Status: oci-egress; error=%s; details=\"%s\"\r\n", error,
			reason_code(refusal->reason));
	text_add(text, "Content-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		to.wants_json ? "application/json" : "text/plain", content.len);
	if (!to.is_head)
		text_add_bytes(text, content.buf, content.len);
}

void http_answer_options(struct text *text)
{
	text_add(text, "HTTP/1.1 200 OK\r\nAllow: " METHODS "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
