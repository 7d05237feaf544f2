/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of TOML 1.0 that knows where everything stands, so that a document can be edited without changing a byte
 * that is not named (oci/toml_edit.h). It refuses what is not TOML but does not interpret numbers and dates; that a
 * key stands twice is seen when it is asked for.
 *
 * A path is the parts of a key, each with a NUL behind it: "engine\0hooks_dir", with the NUL that ends the literal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define TOML_DEPTH_MAX 32
#define TOML_SIZE_MAX (1u << 20)

enum toml_kind {
	TOML_STRING = 1,
	TOML_SCALAR, /* a number, a boolean, a date or time */
	TOML_ARRAY,
	TOML_INLINE, /* an inline table; its members are items of their own */
	TOML_TABLE,  /* a header, [a.b] */
	TOML_TABLES, /* a header, [[a.b]] */
};

#define TOML_NO_PARENT ((size_t) -1)

struct toml_item {
	char *path; /* of an array's element: NULL */
	size_t path_len;
	size_t header_len; /* how much of path the header above says; the rest is the key's own */
	size_t parent;     /* of an element: the array's index */
	size_t start;      /* of its key, or its header */
	size_t at, end;    /* of the value, or the header */
	enum toml_kind kind;
};

struct toml {
	const char *file;
	const char *text;
	size_t len;
	struct toml_item *items; /* as they stand in the text; an array before its elements */
	size_t n, size;
};

/* Parses text, which must outlive *ret (toml_free()). -EINVAL: "FILE:LINE:COLUMN: what is wrong". */
int toml_parse(const char *file, const char *text, size_t len, struct toml **ret, struct error *err);
void toml_free(struct toml *toml);

static inline void cleanup_toml(struct toml **toml)
{
	toml_free(*toml);
}
#define _cleanup_toml_ __attribute__((cleanup(cleanup_toml)))

/* The item of that path, NULL where there is none. -EINVAL: it stands there twice. */
int toml_find(
	const struct toml *toml, const char *path, size_t path_len, const struct toml_item **ret, struct error *err);

/* A string's value, to be freed. -EINVAL: item is no string. */
int toml_string(const struct toml *toml, const struct toml_item *item, char **ret, struct error *err);

/* The array's next element behind item, or its first (item NULL); NULL: no more. */
const struct toml_item *toml_element(
	const struct toml *toml, const struct toml_item *array, const struct toml_item *item);

/* "FILE:LINE:COLUMN: MESSAGE". Returns -EINVAL. */
int toml_complain(const struct toml *toml, size_t at, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
