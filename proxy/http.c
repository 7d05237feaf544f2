/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http.h"

#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/*
 * state          on                      next
 * IN_METHOD      token byte              IN_METHOD
 *                SP                      IN_TARGET
 * IN_TARGET      0x21-0x7e               IN_TARGET
 *                SP                      IN_VERSION
 * IN_VERSION     "HTTP/1." 0 or 1        IN_VERSION_END
 * IN_VERSION_END CR                      IN_LINE_LF
 * IN_LINE_LF     LF                      IN_FIELD
 * IN_FIELD       CR                      IN_HEAD_LF
 *                token byte              IN_NAME
 * IN_NAME        token byte              IN_NAME
 *                ":"                     IN_VALUE
 * IN_VALUE       HTAB, SP-~, 0x80-0xff   IN_VALUE
 *                CR                      IN_LINE_LF
 * IN_HEAD_LF     LF                      done
 */
enum state { IN_METHOD, IN_TARGET, IN_VERSION, IN_VERSION_END, IN_LINE_LF, IN_FIELD, IN_NAME, IN_VALUE, IN_HEAD_LF };

static const char version[] = "HTTP/1.";

const char HTTP_TUNNEL_ANSWER[] = "HTTP/1.1 200 Connection established\r\n\r\n";

/* RFC 9110 section 5.6.2 */
static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool span_is(const char *buf, struct http_span span, const char *text)
{
	return span.len == strlen(text) && memcmp(buf + span.offset, text, span.len) == 0;
}

static bool span_is_nocase(const char *buf, struct http_span span, const char *text)
{
	return span.len == strlen(text) && strncasecmp(buf + span.offset, text, span.len) == 0;
}

static struct http_span span_trim(const char *buf, struct http_span span)
{
	while (span.len > 0 && is_space(buf[span.offset + span.len - 1]))
		span.len--;
	while (span.len > 0 && is_space(buf[span.offset])) {
		span.offset++;
		span.len--;
	}
	return span;
}

static struct http_span span_from(size_t offset, size_t end)
{
	return (struct http_span){ .offset = (uint32_t) offset, .len = (uint32_t) (end - offset) };
}

static enum parse_result bad(struct http_head *head, enum reason reason, const char *problem)
{
	head->reason = reason;
	head->problem = problem;
	return PARSE_BAD;
}

static enum parse_result malformed(struct http_head *head, const char *problem)
{
	return bad(head, REASON_BAD_REQUEST, problem);
}

static enum parse_result go(struct http_head *head, enum state state)
{
	head->state = (uint8_t) state;
	return PARSE_MORE;
}

/* A field is complete: keeps what a CONNECT is judged by. */
static enum parse_result end_field(struct http_head *head, const char *buf)
{
	struct http_span value = span_trim(buf, head->value);
	if (span_is_nocase(buf, head->name, "Host")) {
		head->hosts++;
		head->host = value;
	} else if (span_is_nocase(buf, head->name, "Transfer-Encoding")) {
		head->contents++;
	} else if (span_is_nocase(buf, head->name, "Content-Length") && !span_is(buf, value, "0")) {
		head->contents++; /* "0" is what old Windows clients send with every CONNECT */
	}
	return go(head, IN_LINE_LF);
}

static enum parse_result step_version(struct http_head *head, unsigned char c)
{
	size_t at = head->value.len;
	if (at < sizeof(version) - 1) {
		if (c != (unsigned char) version[at])
			return malformed(head, "The request line does not end in HTTP/1.0 or HTTP/1.1.");
		head->value.len++;
		return PARSE_MORE;
	}
	if (c != '0' && c != '1')
		return malformed(head, "The request line does not end in HTTP/1.0 or HTTP/1.1.");
	head->minor = (uint8_t) (c - '0');
	return go(head, IN_VERSION_END);
}

static enum parse_result step_request_line(struct http_head *head, size_t at, unsigned char c)
{
	if (at >= HTTP_LINE_MAX)
		return bad(head, REASON_HEAD_TOO_LARGE, NULL);

	switch ((enum state) head->state) {
	case IN_METHOD:
		if (c == ' ' && at > 0) {
			head->method = span_from(0, at);
			head->target.offset = (uint32_t) at + 1;
			return go(head, IN_TARGET);
		}
		return is_token(c) ? PARSE_MORE : malformed(head, "The request does not begin with a method.");
	case IN_TARGET:
		if (c == ' ' && at > head->target.offset) {
			head->target = span_from(head->target.offset, at);
			head->value = span_from(at, at);
			return go(head, IN_VERSION);
		}
		return c > 0x20 && c < 0x7f ? PARSE_MORE : malformed(head, "The request target has a forbidden byte.");
	case IN_VERSION:
		return step_version(head, c);
	default:
		return c == '\r' ? go(head, IN_LINE_LF) : malformed(head, "The request line does not end in CR LF.");
	}
}

static enum parse_result step_field(struct http_head *head, const char *buf, size_t at, unsigned char c)
{
	switch ((enum state) head->state) {
	case IN_FIELD:
		if (c == '\r')
			return go(head, IN_HEAD_LF);
		if (!is_token(c))
			return malformed(head, "A field line does not begin with a name.");
		if (++head->fields > HTTP_FIELDS_MAX)
			return bad(head, REASON_HEAD_TOO_LARGE, NULL);
		head->name.offset = (uint32_t) at;
		return go(head, IN_NAME);
	case IN_NAME:
		if (c == ':') {
			head->name = span_from(head->name.offset, at);
			head->value.offset = (uint32_t) at + 1;
			return go(head, IN_VALUE);
		}
		return is_token(c) ? PARSE_MORE : malformed(head, "A field name has a forbidden byte.");
	default:
		if (c == '\r') {
			head->value = span_from(head->value.offset, at);
			return end_field(head, buf);
		}
		if (c == '\t' || (c >= 0x20 && c != 0x7f))
			return PARSE_MORE;
		return malformed(head, "A field value has a control byte.");
	}
}

static enum parse_result step(struct http_head *head, const char *buf, size_t at)
{
	unsigned char c = (unsigned char) buf[at];
	switch ((enum state) head->state) {
	case IN_METHOD:
	case IN_TARGET:
	case IN_VERSION:
	case IN_VERSION_END:
		return step_request_line(head, at, c);
	case IN_LINE_LF:
		return c == '\n' ? go(head, IN_FIELD) : malformed(head, "A line does not end in CR LF.");
	case IN_FIELD:
	case IN_NAME:
	case IN_VALUE:
		return step_field(head, buf, at, c);
	case IN_HEAD_LF:
		return c == '\n' ? PARSE_DONE : malformed(head, "A line does not end in CR LF.");
	}
	return malformed(head, NULL);
}

enum parse_result http_parse_head(struct http_head *head, const char *buf, size_t len, size_t max)
{
	if (max > UINT32_MAX)
		max = UINT32_MAX;
	while (head->len < len) {
		if (head->len >= max)
			return bad(head, REASON_HEAD_TOO_LARGE, NULL);
		enum parse_result r = step(head, buf, head->len);
		if (r == PARSE_BAD)
			return r;
		head->len++;
		if (r == PARSE_DONE)
			return r;
	}
	return PARSE_MORE;
}

/* Host must name the target (RFC 9112 section 3.2). Some clients leave the port out; none may give another. */
static const char *host_field_problem(
	const struct http_head *head, const char *buf, const struct host *target, uint16_t port)
{
	if (head->hosts == 0)
		return NULL;

	struct host host;
	uint16_t host_port;
	const char *problem = host_parse_authority(buf + head->host.offset, head->host.len, false, &host, &host_port);
	if (problem)
		return problem;
	if (target && (!host_equal(target, &host) || (host_port && host_port != port)))
		return "The Host field names another host than the request target.";
	return NULL;
}

enum reason http_connect_target(const struct http_head *head, const char *buf, struct host *ret_host,
	uint16_t *ret_port, const char **ret_problem)
{
	bool is_connect = span_is(buf, head->method, "CONNECT");
	struct host host;
	uint16_t port = 0;
	const char *problem = NULL;

	if (is_connect)
		problem = host_parse_authority(buf + head->target.offset, head->target.len, true, &host, &port);
	if (!problem && head->hosts > 1)
		problem = "There is more than one Host field.";
	if (!problem && head->hosts == 0 && head->minor > 0)
		problem = "The Host field is missing.";
	if (!problem)
		problem = host_field_problem(head, buf, is_connect ? &host : NULL, port);
	if (!problem && is_connect && head->contents > 0)
		problem = "CONNECT has no content.";
	if (problem) {
		*ret_problem = problem;
		return REASON_BAD_REQUEST;
	}
	if (!is_connect)
		return REASON_METHOD_NOT_ALLOWED;
	*ret_host = host;
	*ret_port = port;
	return REASON_NONE;
}

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
		{ 431, "Request Header Fields Too Large" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
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
		text_add(text, "Allow: CONNECT\r\n");
	if (error)
		text_add(text, "Proxy-Status: oci-egress; error=%s\r\n", error);
	text_add(text, "Content-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", body);
	text_add(text, "oci-egress: %s%s%s\n", sentence, problem ? " " : "", problem ? problem : "");
}
