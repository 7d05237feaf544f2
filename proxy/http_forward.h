/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heads that are passed on. Each is written anew from what was read: start line, Host and framing are ours, in the
 * one form that nobody can read in two ways, and nothing of the hop before is in it (RFC 9110 section 7.6).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "proxy/http_head.h"
#include "proxy/http_request.h"
#include "proxy/http_response.h"

/* What a head may be longer than the one that was read. */
#define HTTP_FORWARD_MORE 1024

void http_forward_request(
	struct text *text, const struct http_head *head, const char *buf, const struct http_request *request);

/* framing is that of the content towards the client; close says that nothing follows on its connection. */
void http_forward_response(struct text *text, const struct http_head *head, const char *buf,
	const struct http_response *response, enum http_framing framing, bool close);
