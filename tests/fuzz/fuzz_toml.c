/* SPDX-License-Identifier: Apache-2.0 */
/* TOML, and its edits: what comes out is TOML again, with what was put in, and taken out it is what was there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/toml.h"
#include "oci/toml_edit.h"

static const char table[] = "engine", key[] = "engine\0hooks_dir", added[] = "/added";

static void check(bool good)
{
	if (!good)
		abort();
}

/* The document that an edit gave. */
static struct toml *reparse(const char *text, size_t len)
{
	struct toml *toml;
	check(toml_parse("edited", text, len, &toml, NULL) == 0);
	return toml;
}

static bool is_added(const struct toml *toml, const struct toml_item *element)
{
	char *string;
	if (element->kind != TOML_STRING)
		return false;
	check(toml_string(toml, element, &string, NULL) == 0);
	bool same = strcmp(string, added) == 0;
	free(string);
	return same;
}

static void try_element(const struct toml *toml, const struct toml_item *array)
{
	char *text, *back;
	size_t len, back_len;
	check(toml_append_element(toml, array, added, &text, &len, NULL) == 0);
	struct toml *edited = reparse(text, len);
	const struct toml_item *last = NULL, *next;
	array = &edited->items[array - toml->items];
	while ((next = toml_element(edited, array, last)))
		last = next;
	check(last && is_added(edited, last));
	check(toml_remove_element(edited, last, &back, &back_len, NULL) == 0);
	toml_free(reparse(back, back_len));
	check(back_len == toml->len && memcmp(back, toml->text, back_len) == 0);
	toml_free(edited);
	free(text);
	free(back);
}

static void try_line(const struct toml *toml)
{
	char *text;
	size_t len;
	const struct toml_item *found;
	if (toml_find(toml, key, sizeof(key), &found, NULL) < 0 || found ||
		toml_add_line(toml, table, sizeof(table), "engine", "hooks_dir = [\"/added\"]", &text, &len, NULL) < 0)
		return;
	struct toml *edited = reparse(text, len);
	check(toml_find(edited, key, sizeof(key), &found, NULL) == 0 && found && found->kind == TOML_ARRAY);
	toml_free(edited);
	free(text);
}

static void try_tables(const struct toml *toml)
{
	char *text;
	size_t len;
	check(toml_remove_tables(toml, table, sizeof(table), &text, &len, NULL) == 0);
	if (!text)
		return;
	toml_free(reparse(text, len));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct toml *toml;
	if (toml_parse("toml", (const char *) data, size, &toml, NULL) < 0)
		return 0;
	for (size_t i = 0; i < toml->n; i++) {
		const struct toml_item *item = &toml->items[i];
		check(item->start <= item->at && item->at < item->end && item->end <= size);
		if (item->kind == TOML_ARRAY && item->path)
			try_element(toml, item);
	}
	try_line(toml);
	try_tables(toml);
	toml_free(toml);
	return 0;
}
