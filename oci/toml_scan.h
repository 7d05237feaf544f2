/* SPDX-License-Identifier: Apache-2.0 */
/* What toml.c, which reads statements, and toml_scan.c, which reads strings and scalars, share. */
#pragma once

#include "oci/toml.h"

/* Bytes that grow. */
struct toml_bytes {
	char *p;
	size_t len, size;
};

/* Adds bytes; -ENOMEM. */
int toml_bytes_add(struct toml_bytes *bytes, const char *p, size_t len);

/*
 * Reads the string that starts at *at, of any of the four kinds (multiline: of two only), moves *at behind it, and adds
 * what it says to into (NULL: nowhere).
 */
int toml_scan_string(const struct toml *toml, size_t *at, bool multiline, struct toml_bytes *into, struct error *err);

/* Moves *at behind the number, boolean, date or time that starts there. */
int toml_scan_scalar(const struct toml *toml, size_t *at, struct error *err);
