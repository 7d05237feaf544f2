/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a TOML document that leave every other byte as it is. Each returns the new document in *ret (to be freed;
 * one NUL more than *ret_len), or -errno and err, and ends lines as the document does.
 */
#pragma once

#include <stddef.h>

#include "oci/toml.h"

/* Writes string as a basic string, with its quotes; false where it does not fit. */
bool toml_quote(const char *string, char *ret, size_t size);

/* Puts a string behind the array's last element, on a line of its own where that one has one. */
int toml_append_element(const struct toml *toml, const struct toml_item *array, const char *string, char **ret,
	size_t *ret_len, struct error *err);

/* Takes an element out of its array, with the comma that it needed. */
int toml_remove_element(
	const struct toml *toml, const struct toml_item *element, char **ret, size_t *ret_len, struct error *err);

/*
 * Puts a line, KEY = VALUE, into the table of that path (shown is how messages call it): behind its header, which is
 * added at the end where there is none. -EINVAL: the table is written in another way, without a header.
 */
int toml_add_line(const struct toml *toml, const char *path, size_t path_len, const char *shown, const char *line,
	char **ret, size_t *ret_len, struct error *err);

/* Takes out the lines of a key and its value. */
int toml_remove_statement(
	const struct toml *toml, const struct toml_item *item, char **ret, size_t *ret_len, struct error *err);

/* Puts lines, each ended by '\n', at the end, behind an empty one. */
int toml_append_lines(const struct toml *toml, const char *lines, char **ret, size_t *ret_len, struct error *err);

/*
 * Takes out the tables of that path and below it: each from its header to its last value, and the empty line before.
 * *ret is NULL where there are none.
 */
int toml_remove_tables(
	const struct toml *toml, const char *path, size_t path_len, char **ret, size_t *ret_len, struct error *err);

/* Could a header of that path be added? -EINVAL: no, since what is there was written without headers. */
int toml_check_table(const struct toml *toml, const char *path, size_t path_len, const char *shown, struct error *err);
