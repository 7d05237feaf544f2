/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http_content.h"

void http_content_init(
	struct http_content *content, enum http_framing in, enum http_framing out, uint64_t length, size_t line_max)
{
	*content = (struct http_content){ .in = in, .out = out, .left = length, .line_max = line_max };
	content->complete = in == HTTP_NO_CONTENT || (in == HTTP_LENGTH && length == 0);
}

uint64_t http_content_certain(const struct http_content *content)
{
	if (content->complete)
		return 0;
	if (content->in == HTTP_CHUNKED)
		return chunked_certain(&content->chunked);
	return content->in == HTTP_LENGTH ? content->left : UINT64_MAX;
}

enum parse_result http_content_take(
	struct http_content *content, char *bytes, size_t len, size_t *ret_used, size_t *ret_content)
{
	if (content->in == HTTP_CHUNKED && !content->complete) {
		enum parse_result r =
			chunked_decode(&content->chunked, bytes, len, content->line_max, ret_used, ret_content);
		content->complete = r == PARSE_DONE;
		return r;
	}
	uint64_t certain = http_content_certain(content);
	*ret_used = *ret_content = len < certain ? len : (size_t) certain;
	if (content->in == HTTP_LENGTH) {
		content->left -= *ret_used;
		content->complete = content->left == 0;
	}
	return content->complete ? PARSE_DONE : PARSE_MORE;
}

bool http_content_end(struct http_content *content)
{
	if (content->in == HTTP_UNTIL_CLOSE)
		content->complete = true;
	return content->complete;
}
