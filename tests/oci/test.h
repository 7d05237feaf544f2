/* SPDX-License-Identifier: Apache-2.0 */
/* What all unit tests here include; cmocka.h wants these before it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

/* A copy with nothing behind it, so that the sanitizer sees a read past the end. */
static inline char *copy_of(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static inline void assert_message(const struct error *err, const char *expected)
{
	if (strcmp(err->msg, expected) != 0)
		fail_msg("got:      %s\nexpected: %s", err->msg, expected);
}
