/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_head.h"

#include <string.h>
#include <strings.h>

/*
 * state          on                      next
 * IN_METHOD      token byte              IN_METHOD
 *                SP                      IN_TARGET
 * IN_TARGET      0x21-0x7e               IN_TARGET
 *                SP                      IN_VERSION
 * IN_VERSION     "HTTP/1." 0 or 1        IN_LINE_CR
 * IN_LINE_CR     CR                      IN_LINE_LF
 * IN_LINE_LF     LF                      IN_FIELD
 * IN_FIELD       CR                      IN_HEAD_LF
 *                token byte              IN_NAME
 * IN_NAME        token byte              IN_NAME
 *                ":"                     IN_VALUE
 * IN_VALUE       HTAB, SP-~, 0x80-0xff   IN_VALUE
 *                CR                      IN_LINE_LF
 * IN_HEAD_LF     LF                      done
 *
 * A response begins with these:
 * IN_PROTOCOL    "HTTP/1." digit SP      IN_STATUS
 * IN_STATUS      three digits            IN_STATUS_END
 * IN_STATUS_END  SP                      IN_PHRASE
 *                CR                      IN_LINE_LF (RFC 9112 section 4 wants the SP, some servers do not)
 * IN_PHRASE      as IN_VALUE             IN_PHRASE
 *                CR                      IN_LINE_LF
 */
enum state {
	IN_METHOD,
	IN_TARGET,
	IN_VERSION,
	IN_LINE_CR,
	IN_LINE_LF,
	IN_FIELD,
	IN_NAME,
	IN_VALUE,
	IN_HEAD_LF,
	IN_PROTOCOL,
	IN_STATUS,
	IN_STATUS_END,
	IN_PHRASE,
};

enum { TOKEN = 1, TARGET = 2, VALUE = 4 };

#define T (TOKEN | TARGET | VALUE)
#define V (TARGET | VALUE)

/* What a byte may be part of. */
static const uint8_t classes[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = T,
	['"'] = V,
	['#' ... '\''] = T,
	['(' ... ')'] = V,
	['*' ... '+'] = T,
	[','] = V,
	['-' ... '.'] = T,
	['/'] = V,
	['0' ... '9'] = T,
	[':' ... '@'] = V,
	['A' ... 'Z'] = T,
	['[' ... ']'] = V,
	['^' ... 'z'] = T,
	['{'] = V,
	['|'] = T,
	['}'] = V,
	['~'] = T,
	[0x80 ... 0xff] = VALUE,
};

#undef T
#undef V

static const char version[] = "HTTP/1.";

void http_head_init(struct http_head *head)
{
	memset(head, 0, offsetof(struct http_head, fields));
	head->state = IN_METHOD;
}

void http_head_init_response(struct http_head *head)
{
	http_head_init(head);
	head->state = IN_PROTOCOL;
}

bool http_is_token(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(classes[(unsigned char) bytes[i]] & TOKEN))
			return false;
	return len > 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

bool http_span_is(const char *buf, struct http_span span, const char *text)
{
	return span.len == strlen(text) && memcmp(buf + span.offset, text, span.len) == 0;
}

bool http_span_is_nocase(const char *buf, struct http_span span, const char *text)
{
	return span.len == strlen(text) && strncasecmp(buf + span.offset, text, span.len) == 0;
}

static struct http_span span_from(size_t offset, size_t end)
{
	return (struct http_span){ .offset = (uint32_t) offset, .len = (uint32_t) (end - offset) };
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

bool http_list_next(const char *buf, struct http_span *rest, struct http_span *ret)
{
	while (rest->len > 0) {
		const char *comma = memchr(buf + rest->offset, ',', rest->len);
		size_t end = comma ? (size_t) (comma - buf) : (size_t) rest->offset + rest->len;
		struct http_span member = span_trim(buf, span_from(rest->offset, end));
		*rest = span_from(comma ? end + 1 : end, (size_t) rest->offset + rest->len);
		if (member.len > 0) {
			*ret = member;
			return true;
		}
	}
	return false;
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

/* at: the first byte behind the span that began at span->offset. */
static struct http_span ended(struct http_span span, size_t at)
{
	return span_from(span.offset, at);
}

/* phrase, which a request has none of, counts the bytes. */
static enum parse_result step_version(struct http_head *head, char c)
{
	size_t at = head->phrase.len;
	if (at < sizeof(version) - 1 ? c != version[at] : c != '0' && c != '1')
		return malformed(head, "The request line does not end in HTTP/1.0 or HTTP/1.1.");
	if (at < sizeof(version) - 1) {
		head->phrase.len++;
		return PARSE_MORE;
	}
	head->minor = (uint8_t) (c - '0');
	head->phrase.len = 0;
	return go(head, IN_LINE_CR);
}

static enum parse_result step_protocol(struct http_head *head, size_t at, char c)
{
	if (at < sizeof(version) - 1 && c == version[at])
		return PARSE_MORE;
	if (at == sizeof(version) - 1 && c >= '0' && c <= '9') {
		head->minor = c == '0' ? 0 : 1;
		return PARSE_MORE;
	}
	if (at == sizeof(version) && c == ' ')
		return go(head, IN_STATUS);
	return malformed(head, "The response does not begin with HTTP/1.");
}

static enum parse_result step_status(struct http_head *head, size_t at, char c)
{
	if (c < '0' || c > '9' || (head->status == 0 && c == '0'))
		return malformed(head, "The response has no status code of three digits.");
	head->status = (uint16_t) (head->status * 10 + (c - '0'));
	head->phrase = span_from(at + 1, at + 1);
	return head->status < 100 ? PARSE_MORE : go(head, IN_STATUS_END);
}

static enum parse_result step_request_line(struct http_head *head, size_t at, char c)
{
	switch ((enum state) head->state) {
	case IN_METHOD:
		if (c != ' ' || at == 0)
			return malformed(head, "The request does not begin with a method.");
		head->method = span_from(0, at);
		head->target.offset = (uint32_t) at + 1;
		return go(head, IN_TARGET);
	case IN_TARGET:
		if (c != ' ' || at == head->target.offset)
			return malformed(head, "The request target has a forbidden byte.");
		head->target = ended(head->target, at);
		return go(head, IN_VERSION);
	case IN_VERSION:
		return step_version(head, c);
	default:
		return c == '\r' ? go(head, IN_LINE_LF) : malformed(head, "The request line does not end in CR LF.");
	}
}

static enum parse_result step_status_line(struct http_head *head, size_t at, char c)
{
	switch ((enum state) head->state) {
	case IN_PROTOCOL:
		return step_protocol(head, at, c);
	case IN_STATUS:
		return step_status(head, at, c);
	case IN_STATUS_END:
		head->phrase = span_from(at + 1, at + 1);
		if (c == ' ')
			return go(head, IN_PHRASE);
		return c == '\r' ? go(head, IN_LINE_LF)
				 : malformed(head, "The response has no status code of three digits.");
	default:
		head->phrase = ended(head->phrase, at);
		return c == '\r' ? go(head, IN_LINE_LF) : malformed(head, "The status line has a control byte.");
	}
}

static enum parse_result begin_field(struct http_head *head, size_t at)
{
	if (head->n_fields == HTTP_FIELDS_MAX)
		return bad(head, REASON_HEAD_TOO_LARGE, NULL);
	head->fields[head->n_fields++].name = span_from(at, at);
	return go(head, IN_NAME);
}

static enum parse_result step_field(struct http_head *head, const char *buf, size_t at, char c)
{
	struct http_field *field = head->n_fields > 0 ? &head->fields[head->n_fields - 1] : NULL;
	if (head->state == IN_FIELD) {
		if (c == '\r')
			return go(head, IN_HEAD_LF);
		return classes[(unsigned char) c] & TOKEN ? begin_field(head, at)
							  : malformed(head, "A field line does not begin with a name.");
	}
	if (head->state == IN_NAME) {
		if (c != ':')
			return malformed(head, "A field name has a forbidden byte.");
		field->name = ended(field->name, at);
		field->value = span_from(at + 1, at + 1);
		return go(head, IN_VALUE);
	}
	if (c != '\r')
		return malformed(head, "A field value has a control byte.");
	field->value = span_trim(buf, ended(field->value, at));
	return go(head, IN_LINE_LF);
}

static enum parse_result step(struct http_head *head, const char *buf, size_t at)
{
	char c = buf[at];
	switch ((enum state) head->state) {
	case IN_METHOD:
	case IN_TARGET:
	case IN_VERSION:
	case IN_LINE_CR:
		return step_request_line(head, at, c);
	case IN_PROTOCOL:
	case IN_STATUS:
	case IN_STATUS_END:
	case IN_PHRASE:
		return step_status_line(head, at, c);
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

/* Of which bytes there may be any number in this state. */
static uint8_t repeated(enum state state)
{
	switch (state) {
	case IN_METHOD:
	case IN_NAME:
		return TOKEN;
	case IN_TARGET:
		return TARGET;
	case IN_VALUE:
	case IN_PHRASE:
		return VALUE;
	default:
		return 0;
	}
}

static bool is_request_line(enum state state)
{
	return state <= IN_LINE_CR;
}

enum parse_result http_head_parse(struct http_head *head, const char *buf, size_t len, size_t max)
{
	if (max > UINT32_MAX - 1)
		max = UINT32_MAX - 1;
	while (head->len < len) {
		size_t limit = is_request_line(head->state) && max > HTTP_LINE_MAX ? HTTP_LINE_MAX : max;
		size_t end = len < limit ? len : limit, at = head->len;
		uint8_t class = repeated(head->state);
		while (at < end && (classes[(unsigned char) buf[at]] & class))
			at++;
		head->len = at;
		if (at == len)
			break;
		if (at >= limit)
			return bad(head, REASON_HEAD_TOO_LARGE, NULL);
		enum parse_result r = step(head, buf, at);
		if (r == PARSE_BAD)
			return r;
		head->len++;
		if (r == PARSE_DONE)
			return r;
	}
	return PARSE_MORE;
}
