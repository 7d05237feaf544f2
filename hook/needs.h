/* SPDX-License-Identifier: Apache-2.0 */
/* The words for enum control_needs, proxy/control.h. */
#pragma once

#include <stdint.h>

struct text;

/* Adds "link", "proxy" and so on, each between quotes, with ", " between them. */
void needs_add(struct text *text, uint32_t needs, const char *quote);
