/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_hop.h"

#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static bool add_token(struct http_hop *hop, const char *buf, struct http_span token)
{
	if (!http_is_token(buf + token.offset, token.len))
		return false;
	if (http_span_is_nocase(buf, token, "close"))
		hop->close = true;
	else if (http_span_is_nocase(buf, token, "upgrade"))
		hop->upgrade = true;
	else if (hop->n == HTTP_NAMED_MAX)
		return false;
	else
		hop->named[hop->n++] = token;
	return true;
}

bool http_hop_read(const struct http_head *head, const char *buf, struct http_hop *ret)
{
	ret->close = ret->upgrade = false;
	ret->n = 0;
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		struct http_span rest = field->value, token;
		if (!http_span_is_nocase(buf, field->name, "Connection"))
			continue;
		while (http_list_next(buf, &rest, &token))
			if (!add_token(ret, buf, token))
				return false;
	}
	return true;
}

static bool is_one_of(const char *buf, struct http_span name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (http_span_is_nocase(buf, name, names[i]))
			return true;
	return false;
}

bool http_hop_holds(const struct http_hop *hop, const char *buf, struct http_span name)
{
	static const char *const always[] = { "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding",
		"Upgrade", "HTTP2-Settings" };
	/* a sender must not name these (RFC 9110 section 7.6.1), and who does must not make us drop them */
	static const char *const never[] = { "Host", "Content-Length", "Via", "Max-Forwards" };
	const char *at = buf + name.offset;

	if (name.len >= strlen("Proxy-") && strncasecmp(at, "Proxy-", strlen("Proxy-")) == 0)
		return true;
	if (is_one_of(buf, name, always, ARRAY_SIZE(always)))
		return true;
	for (unsigned i = 0; i < hop->n; i++)
		if (hop->named[i].len == name.len && strncasecmp(buf + hop->named[i].offset, at, name.len) == 0)
			return !is_one_of(buf, name, never, ARRAY_SIZE(never));
	return false;
}
