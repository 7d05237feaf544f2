/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_framing.h"

#define LENGTH_DIGITS_MAX 19 /* of INT64_MAX */

static const char *read_length(const char *bytes, uint32_t len, uint64_t *ret)
{
	uint64_t length = 0;
	if (len == 0 || len > LENGTH_DIGITS_MAX)
		return "Content-Length is not a number that a length can be.";
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return "Content-Length is not a number.";
		length = length * 10 + (uint64_t) (bytes[i] - '0');
	}
	if (length > INT64_MAX)
		return "Content-Length is not a number that a length can be.";
	*ret = length;
	return NULL;
}

const char *http_framing_read(const struct http_head *head, const char *buf, struct http_framing_fields *ret)
{
	*ret = (struct http_framing_fields){ 0 };
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		if (http_span_is_nocase(buf, field->name, "Content-Length")) {
			if (ret->has_length)
				return "There is more than one Content-Length.";
			const char *problem = read_length(buf + field->value.offset, field->value.len, &ret->length);
			if (problem)
				return problem;
			ret->has_length = true;
		} else if (http_span_is_nocase(buf, field->name, "Transfer-Encoding")) {
			if (ret->chunked)
				return "There is more than one Transfer-Encoding.";
			/* where another coding ends nobody can tell, so it is 400, not 501: RFC 9112 section 6.3 */
			if (!http_span_is_nocase(buf, field->value, "chunked"))
				return "Transfer-Encoding is not chunked alone.";
			ret->chunked = true;
		}
	}
	if (ret->chunked && ret->has_length)
		return "There are both Content-Length and Transfer-Encoding.";
	if (ret->chunked && head->minor == 0)
		return "There is a Transfer-Encoding in an HTTP/1.0 message.";
	return NULL;
}
