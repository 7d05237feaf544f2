/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_forward.h"

#include <string.h>

static void add_span(struct text *text, const char *buf, struct http_span span)
{
	text_add_bytes(text, buf + span.offset, span.len);
}

static void add_string(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

/* origin-form, or asterisk-form: RFC 9112 sections 3.2.1 and 3.2.4. */
static void add_target(struct text *text, const char *buf, const struct http_request *request)
{
	if (request->path.len == 0)
		add_string(text, request->is_options ? "*" : "/");
	else if (buf[request->path.offset] == '?')
		add_string(text, "/");
	add_span(text, buf, request->path);
}

static void add_host(struct text *text, const struct host *host, uint16_t port)
{
	bool bracketed = host->kind == HOST_ADDRESS && host->address.family == AF_INET6;
	add_string(text, bracketed ? "Host: [" : "Host: ");
	text_add_bytes(text, host->name, host->len);
	if (bracketed)
		add_string(text, "]");
	if (port != HTTP_PORT)
		text_add(text, ":%u", port);
	add_string(text, "\r\n");
}

static void add_field(struct text *text, const char *buf, const struct http_field *field)
{
	add_span(text, buf, field->name);
	add_string(text, ": ");
	add_span(text, buf, field->value);
	add_string(text, "\r\n");
}

static void add_framing(struct text *text, enum http_framing framing, uint64_t length)
{
	if (framing == HTTP_CHUNKED)
		add_string(text, "Transfer-Encoding: chunked\r\n");
	else if (framing == HTTP_LENGTH)
		text_add(text, "Content-Length: %llu\r\n", (unsigned long long) length);
}

static void add_via(struct text *text, const struct http_head *head)
{
	add_string(text, head->minor > 0 ? "Via: 1.1 " HTTP_PSEUDONYM "\r\n" : "Via: 1.0 " HTTP_PSEUDONYM "\r\n");
}

/* Is the field written from what was read of it, if at all? */
static bool is_ours(const char *buf, struct http_span name, const struct http_request *request)
{
	return http_span_is_nocase(buf, name, "Host") || http_span_is_nocase(buf, name, "Content-Length") ||
	       http_span_is_nocase(buf, name, "Expect") ||
	       (request->has_max_forwards && http_span_is_nocase(buf, name, "Max-Forwards"));
}

void http_forward_request(
	struct text *text, const struct http_head *head, const char *buf, const struct http_request *request)
{
	add_span(text, buf, head->method);
	add_string(text, " ");
	add_target(text, buf, request);
	add_string(text, " HTTP/1.1\r\n");
	add_host(text, &request->host, request->port);
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		if (!is_ours(buf, field->name, request) && !http_hop_holds(&request->hop, buf, field->name))
			add_field(text, buf, field);
	}
	add_framing(text, request->framing, request->length);
	if (request->expects)
		add_string(text, "Expect: 100-continue\r\n");
	if (request->has_max_forwards)
		text_add(text, "Max-Forwards: %llu\r\n", (unsigned long long) request->max_forwards - 1);
	add_via(text, head);
	if (request->websocket)
		add_string(text, "Connection: upgrade\r\nUpgrade: websocket\r\n");
	else if (!request->keeps)
		add_string(text, "Connection: close\r\n");
	add_string(text, "\r\n");
}

void http_forward_response(struct text *text, const struct http_head *head, const char *buf,
	const struct http_response *response, enum http_framing framing, bool close)
{
	text_add(text, "HTTP/1.1 %u ", head->status);
	add_span(text, buf, head->phrase);
	add_string(text, "\r\n");
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		if (!http_span_is_nocase(buf, field->name, "Content-Length") &&
			!http_hop_holds(&response->hop, buf, field->name))
			add_field(text, buf, field);
	}
	if (framing == HTTP_NO_CONTENT && response->has_length)
		framing = HTTP_LENGTH; /* of what a GET would have brought */
	add_framing(text, framing, response->length);
	add_via(text, head);
	if (response->is_upgrade)
		add_string(text, "Connection: upgrade\r\nUpgrade: websocket\r\n");
	else if (close && !response->is_interim)
		add_string(text, "Connection: close\r\n");
	add_string(text, "\r\n");
}
