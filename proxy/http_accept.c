/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_accept.h"

#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110 section 12.4.2, in thousandths; -1: it is none. */
static int read_weight(const char *bytes, size_t len)
{
	if (len < 1 || len > 5 || (bytes[0] != '0' && bytes[0] != '1') || (len > 1 && bytes[1] != '.'))
		return -1;
	int weight = bytes[0] == '1' ? 1000 : 0;
	int place = 100;
	for (size_t i = 2; i < len; i++, place /= 10) {
		if (!is_digit(bytes[i]))
			return -1;
		weight += (bytes[i] - '0') * place;
	}
	return weight <= 1000 ? weight : -1;
}

/* What stands before the next semicolon, without white space around it. */
static struct http_span next_part(const char *buf, struct http_span *rest)
{
	const char *from = buf + rest->offset;
	const char *semicolon = memchr(from, ';', rest->len);
	uint32_t len = semicolon ? (uint32_t) (semicolon - from) : rest->len;
	struct http_span part = { rest->offset, len };
	uint32_t skipped = semicolon ? len + 1 : len;
	rest->offset += skipped;
	rest->len -= skipped;
	while (part.len > 0 && (buf[part.offset] == ' ' || buf[part.offset] == '\t')) {
		part.offset++;
		part.len--;
	}
	while (part.len > 0 && (buf[part.offset + part.len - 1] == ' ' || buf[part.offset + part.len - 1] == '\t'))
		part.len--;
	return part;
}

/* One member of the list: its range, and its weight. 0 where that cannot be read. */
static int read_member(const char *buf, struct http_span member, struct http_span *ret_range)
{
	int weight = 1000;
	*ret_range = next_part(buf, &member);
	while (member.len > 0) {
		struct http_span parameter = next_part(buf, &member);
		const char *bytes = buf + parameter.offset;
		if (parameter.len >= 2 && (bytes[0] | 0x20) == 'q' && bytes[1] == '=')
			weight = read_weight(bytes + 2, parameter.len - 2);
	}
	return weight > 0 ? weight : 0;
}

bool http_accepts_json(const struct http_head *head, const char *buf)
{
	int json = 0, text = 0;
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (!http_span_is_nocase(buf, head->fields[i].name, "accept"))
			continue;
		struct http_span rest = head->fields[i].value, member, range;
		while (http_list_next(buf, &rest, &member)) {
			int weight = read_member(buf, member, &range);
			if (http_span_is_nocase(buf, range, "application/json"))
				json = weight > json ? weight : json;
			else if (range.len >= 5 && strncasecmp(buf + range.offset, "text/", 5) == 0)
				text = weight > text ? weight : text;
		}
	}
	return json > 0 && json >= text;
}
