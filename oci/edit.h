/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a JSON document that leave every byte as it is which they do not name: what nobody here knows, how numbers
 * are written, the order of keys and the white space between them.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/json.h"

#define EDIT_CHANGES_MAX 16

struct edit {
	const struct json *json; /* of a text without comments; must outlive this */
	size_t n;
	struct edit_change {
		size_t at, removed; /* bytes of the document */
		char *text;         /* what takes their place */
		size_t len;
	} changes[EDIT_CHANGES_MAX];
};

/* Releases what the changes hold. */
void edit_clear(struct edit *edit);

#define _cleanup_edit_ __attribute__((cleanup(edit_clear)))

/* The bytes that a value is written with, in the document. */
const char *edit_source(const struct json *json, const struct json_value *value, size_t *ret_len);

/*
 * Puts text in the value's place. The text is copied. Changes must not lie within each other. 0, -ENOMEM, or -E2BIG.
 */
int edit_replace(struct edit *edit, const struct json_value *value, const char *text, size_t len, struct error *err);

/*
 * Puts text behind the last child of an object or array, with the comma that this needs: members ("key":value) or
 * elements, separated by commas where there are several. What is added first stands first.
 */
int edit_append(struct edit *edit, const struct json_value *container, const char *text, size_t len, struct error *err);

/* The document with all changes made. *ret is to be freed, and has one NUL more than *ret_len. */
int edit_apply(const struct edit *edit, char **ret, size_t *ret_len, struct error *err);
