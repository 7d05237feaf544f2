/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_response.h"

#include <stddef.h>
#include <string.h>

static bool is_websocket(const struct http_head *head, const char *buf, const struct http_hop *hop)
{
	unsigned n = 0;
	bool websocket = false;
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (!http_span_is_nocase(buf, head->fields[i].name, "Upgrade"))
			continue;
		n++;
		websocket = http_span_is_nocase(buf, head->fields[i].value, "websocket");
	}
	return n == 1 && websocket && hop->upgrade && head->minor > 0;
}

static enum http_framing framing_of(
	const struct http_head *head, const struct http_framing_fields *fields, bool to_head)
{
	if (to_head || head->status < 200 || head->status == 204 || head->status == 304)
		return HTTP_NO_CONTENT;
	if (fields->chunked)
		return HTTP_CHUNKED;
	return fields->has_length ? HTTP_LENGTH : HTTP_UNTIL_CLOSE;
}

const char *http_response_read(
	const struct http_head *head, const char *buf, bool to_head, bool to_websocket, struct http_response *ret)
{
	struct http_framing_fields fields;
	memset(ret, 0, offsetof(struct http_response, hop));
	if (!http_hop_read(head, buf, &ret->hop))
		return "The response's Connection field is not a short list of names.";
	const char *problem = http_framing_read(head, buf, &fields);
	if (problem)
		return problem;
	if (head->status == 407)
		return "The response asks for authentication as only a proxy may.";

	ret->is_upgrade = head->status == 101;
	if (ret->is_upgrade && !(to_websocket && is_websocket(head, buf, &ret->hop)))
		return "The response switches to a protocol that was not asked for.";
	ret->is_interim = head->status < 200 && !ret->is_upgrade;
	ret->framing = framing_of(head, &fields, to_head);
	ret->has_length = fields.has_length && head->status >= 200 && head->status != 204;
	ret->length = fields.length;
	ret->keeps = head->minor > 0 && !ret->hop.close && ret->framing != HTTP_UNTIL_CLOSE;
	return NULL;
}
