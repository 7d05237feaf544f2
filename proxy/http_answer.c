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

void http_answer(struct text *text, enum reason reason, const char *problem)
{
	unsigned status = reason_http_status(reason);
	const char *error = reason_proxy_status(reason);
	const char *sentence = reason_sentence(reason);
	size_t body = strlen("oci-egress: ") + strlen(sentence) + (problem ? 1 + strlen(problem) : 0) + 1;

	text_add(text, "HTTP/1.1 %u %s\r\n", status, status_phrase(status));
	if (reason == REASON_METHOD_NOT_ALLOWED)
		text_add(text, "Allow: " METHODS "\r\n");
	if (error)
		text_add(text, "Proxy-Status: oci-egress; error=%s\r\n", error);
	text_add(text, "Content-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", body);
	text_add(text, "oci-egress: %s%s%s\n", sentence, problem ? " " : "", problem ? problem : "");
}

void http_answer_options(struct text *text)
{
	text_add(text, "HTTP/1.1 200 OK\r\nAllow: " METHODS "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
