/* SPDX-License-Identifier: Apache-2.0 */
/* In which form a client wants an answer of the proxy's own: RFC 9110 section 12.5.1. */
#pragma once

#include <stdbool.h>

#include "proxy/http_head.h"

/*
 * JSON is for who names application/json, with a weight above 0 and no less than that of any text/ range: a program
 * that asks for it. All others get text, also those that take anything, which most do without looking.
 */
bool http_accepts_json(const struct http_head *head, const char *buf);
