/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_request.h"

#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define MAX_FORWARDS_DIGITS 9

static bool begins_with(const char *buf, struct http_span span, const char *text)
{
	return span.len >= strlen(text) && strncasecmp(buf + span.offset, text, strlen(text)) == 0;
}

/* -- target -- */

static const char *read_connect_target(const struct http_head *head, const char *buf, struct http_request *ret)
{
	return host_parse_authority(buf + head->target.offset, head->target.len, true, &ret->host, &ret->port);
}

/* absolute-form: "http://" authority [ path ] [ "?" query ]. */
static const char *read_absolute_target(const struct http_head *head, const char *buf, struct http_request *ret)
{
	struct http_span rest = head->target;
	if (begins_with(buf, rest, "https://"))
		return "For https:// URLs use the method CONNECT, and speak TLS in the tunnel.";
	if (!begins_with(buf, rest, "http://"))
		return "The request target is not an http:// URL.";
	if (memchr(buf + rest.offset, '#', rest.len))
		return "The request target has a fragment.";
	rest.offset += (uint32_t) strlen("http://");
	rest.len -= (uint32_t) strlen("http://");

	uint32_t len = 0;
	while (len < rest.len && buf[rest.offset + len] != '/' && buf[rest.offset + len] != '?')
		len++;
	const char *problem = host_parse_authority(buf + rest.offset, len, false, &ret->host, &ret->port);
	if (problem)
		return problem;
	if (ret->port == 0)
		ret->port = HTTP_PORT;
	ret->path = (struct http_span){ .offset = rest.offset + len, .len = rest.len - len };
	return NULL;
}

/*
 * There must be one Host field (RFC 9112 section 3.2), and it must be one. That of a CONNECT must name the target; some
 * clients leave the port out. In front of an absolute-form it is not looked at, and the target's takes its place.
 */
static const char *check_host_fields(const struct http_head *head, const char *buf, const struct http_request *request)
{
	const struct http_field *found = NULL;
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (!http_span_is_nocase(buf, head->fields[i].name, "Host"))
			continue;
		if (found)
			return "There is more than one Host field.";
		found = &head->fields[i];
	}
	if (!found)
		return head->minor > 0 ? "The Host field is missing." : NULL;
	if (found->value.len == 0 && !request->is_connect)
		return NULL;

	struct host host;
	uint16_t port;
	const char *problem = host_parse_authority(buf + found->value.offset, found->value.len, false, &host, &port);
	if (problem)
		return problem;
	if (request->is_connect && (!host_equal(&request->host, &host) || (port && port != request->port)))
		return "The Host field names another host than the request target.";
	return NULL;
}

/* -- fields -- */

/* received-protocol RWS received-by [ RWS comment ] */
static bool names_us(const char *buf, struct http_span member)
{
	const char *at = buf + member.offset, *end = at + member.len;
	while (at < end && *at != ' ' && *at != '\t')
		at++;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	const char *by = at;
	while (at < end && *at != ' ' && *at != '\t' && *at != '(')
		at++;
	return (size_t) (at - by) == strlen(HTTP_PSEUDONYM) && strncasecmp(by, HTTP_PSEUDONYM, (size_t) (at - by)) == 0;
}

static const char *read_max_forwards(const char *buf, struct http_span value, struct http_request *ret)
{
	uint64_t n = 0;
	if (ret->has_max_forwards || value.len == 0 || value.len > MAX_FORWARDS_DIGITS)
		return "Max-Forwards is not one number.";
	for (uint32_t i = 0; i < value.len; i++) {
		char c = buf[value.offset + i];
		if (c < '0' || c > '9')
			return "Max-Forwards is not one number.";
		n = n * 10 + (uint64_t) (c - '0');
	}
	ret->has_max_forwards = true;
	ret->max_forwards = n;
	return NULL;
}

/* What the fields ask of whoever stands between. */
struct asked {
	bool loop;
	bool other_expectation;
	unsigned upgrades;
	bool websocket;
};

static void read_list(const char *buf, const struct http_field *field, struct http_request *ret, struct asked *asked)
{
	struct http_span rest = field->value, member;
	if (http_span_is_nocase(buf, field->name, "Via"))
		while (http_list_next(buf, &rest, &member))
			asked->loop |= names_us(buf, member);
	else if (http_span_is_nocase(buf, field->name, "Expect"))
		while (http_list_next(buf, &rest, &member)) {
			bool known = http_span_is_nocase(buf, member, "100-continue");
			ret->expects |= known;
			asked->other_expectation |= !known;
		}
	else if (http_span_is_nocase(buf, field->name, "Upgrade"))
		while (http_list_next(buf, &rest, &member)) {
			asked->upgrades++;
			asked->websocket = http_span_is_nocase(buf, member, "websocket");
		}
}

static const char *read_fields(
	const struct http_head *head, const char *buf, struct http_request *ret, struct asked *asked)
{
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		const char *problem = NULL;
		if (ret->is_options && http_span_is_nocase(buf, field->name, "Max-Forwards"))
			problem = read_max_forwards(buf, field->value, ret);
		else
			read_list(buf, field, ret, asked);
		if (problem)
			return problem;
	}
	return NULL;
}

static const char *read_framing(const struct http_head *head, const char *buf, struct http_request *ret)
{
	struct http_framing_fields fields;
	const char *problem = http_framing_read(head, buf, &fields);
	if (problem)
		return problem;
	ret->framing = fields.chunked ? HTTP_CHUNKED : fields.has_length ? HTTP_LENGTH : HTTP_NO_CONTENT;
	ret->length = fields.length;
	/* a length of 0 is what old Windows clients send with every CONNECT */
	if (ret->is_connect && (fields.chunked || fields.length > 0))
		return "CONNECT has no content.";
	return NULL;
}

static void read_method(const struct http_head *head, const char *buf, struct http_request *ret)
{
	static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };
	ret->is_connect = http_span_is(buf, head->method, "CONNECT");
	ret->is_head = http_span_is(buf, head->method, "HEAD");
	ret->is_options = http_span_is(buf, head->method, "OPTIONS");
	for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++)
		ret->is_idempotent |= http_span_is(buf, head->method, idempotent[i]);
}

/* RFC 9112 section 9.3: with an HTTP/1.0 client no connection is kept by a proxy. */
static void settle(const struct http_head *head, const char *buf, const struct asked *asked, struct http_request *ret)
{
	ret->keeps = head->minor > 0 && !ret->hop.close;
	/* there is nothing to wait with where no content follows, RFC 9110 section 10.1.1 */
	ret->expects = ret->expects && head->minor > 0 && (ret->framing == HTTP_CHUNKED || ret->length > 0);
	ret->websocket = asked->upgrades == 1 && asked->websocket && ret->hop.upgrade && head->minor > 0 &&
			 ret->framing == HTTP_NO_CONTENT && http_span_is(buf, head->method, "GET");
}

enum reason http_request_read(
	const struct http_head *head, const char *buf, struct http_request *ret, const char **ret_problem)
{
	struct asked asked = { 0 };
	memset(ret, 0, offsetof(struct http_request, hop));
	read_method(head, buf, ret);

	const char *problem =
		ret->is_connect ? read_connect_target(head, buf, ret) : read_absolute_target(head, buf, ret);
	if (!problem)
		problem = check_host_fields(head, buf, ret);
	if (!problem && !http_hop_read(head, buf, &ret->hop))
		problem = "The Connection field is not a short list of names.";
	if (!problem)
		problem = read_fields(head, buf, ret, &asked);
	if (!problem)
		problem = read_framing(head, buf, ret);
	if (problem) {
		*ret_problem = problem;
		return REASON_BAD_REQUEST;
	}
	if (ret->is_connect)
		return REASON_NONE;
	/* it would show the client what was added on the way, RFC 9110 section 9.3.8 */
	if (http_span_is(buf, head->method, "TRACE"))
		return REASON_METHOD_NOT_ALLOWED;
	if (asked.loop)
		return REASON_LOOP;
	if (asked.other_expectation && head->minor > 0)
		return REASON_EXPECTATION;
	settle(head, buf, &asked, ret);
	return REASON_NONE;
}
