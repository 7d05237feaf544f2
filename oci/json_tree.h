/* SPDX-License-Identifier: Apache-2.0 */
/* What json.c, which builds trees, and json_read.c, which reads them, share. */
#pragma once

#include "oci/json.h"

struct json_chunk;

struct json {
	const char *file;
	const char *text;
	size_t len;
	bool comments;
	struct json_chunk *chunks;
	size_t taken; /* bytes of all chunks */
	struct json_value *root;
	uint32_t n_values;
};

/* "FILE:LINE:COLUMN: MESSAGE", for what has no key. Returns -EINVAL. */
int json_complain_at(const struct json *json, size_t offset, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
