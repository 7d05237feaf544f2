/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/json_tree.h"

void edit_clear(struct edit *edit)
{
	for (size_t i = 0; i < edit->n; i++)
		free(edit->changes[i].text);
	edit->n = 0;
}

/* Behind the quote that ends the string whose first quote is at. */
static size_t string_end(const char *text, size_t at)
{
	for (at++; text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at + 1;
}

static size_t container_end(const char *text, size_t at)
{
	size_t depth = 0;
	do {
		if (text[at] == '"') {
			at = string_end(text, at);
			continue;
		}
		if (text[at] == '{' || text[at] == '[')
			depth++;
		else if (text[at] == '}' || text[at] == ']')
			depth--;
		at++;
	} while (depth > 0);
	return at;
}

/* The text has been parsed: every string, array and object in it has its end. */
static size_t value_end(const struct json *json, const struct json_value *value)
{
	switch (value->kind) {
	case JSON_STRING:
		return string_end(json->text, value->offset);
	case JSON_ARRAY:
	case JSON_OBJECT:
		return container_end(json->text, value->offset);
	default:
		return value->offset + strcspn(json->text + value->offset, ",]} \t\r\n");
	}
}

const char *edit_source(const struct json *json, const struct json_value *value, size_t *ret_len)
{
	*ret_len = value_end(json, value) - value->offset;
	return json->text + value->offset;
}

/* Kept sorted by where they are, those of one place in the order in which they came. */
static int add_change(struct edit *edit, const struct edit_change *change, struct error *err)
{
	if (edit->n == EDIT_CHANGES_MAX)
		return error_say(err, E2BIG, "edit %s: too many changes", edit->json->file);
	size_t i = edit->n++;
	for (; i > 0 && edit->changes[i - 1].at > change->at; i--)
		edit->changes[i] = edit->changes[i - 1];
	edit->changes[i] = *change;
	return 0;
}

static int change(struct edit *edit, size_t at, size_t removed, const char *before, const char *text, size_t len,
	struct error *err)
{
	size_t n = strlen(before);
	char *copy = malloc(n + len + 1);
	if (!copy)
		return error_set(err, ENOMEM, "edit %s", edit->json->file);
	memcpy(copy, before, n);
	memcpy(copy + n, text, len);
	const struct edit_change made = { .at = at, .removed = removed, .text = copy, .len = n + len };
	int r = add_change(edit, &made, err);
	if (r < 0)
		free(copy);
	return r;
}

int edit_replace(struct edit *edit, const struct json_value *value, const char *text, size_t len, struct error *err)
{
	return change(edit, value->offset, value_end(edit->json, value) - value->offset, "", text, len, err);
}

static bool appended_at(const struct edit *edit, size_t at)
{
	for (size_t i = 0; i < edit->n; i++)
		if (edit->changes[i].at == at && edit->changes[i].removed == 0)
			return true;
	return false;
}

int edit_append(struct edit *edit, const struct json_value *container, const char *text, size_t len, struct error *err)
{
	const struct json_value *last = container->first;
	while (last && last->next)
		last = last->next;
	size_t at = last ? value_end(edit->json, last) : container->offset + 1;
	return change(edit, at, 0, last || appended_at(edit, at) ? "," : "", text, len, err);
}

int edit_apply(const struct edit *edit, char **ret, size_t *ret_len, struct error *err)
{
	const struct json *json = edit->json;
	size_t size = json->len + 1;
	for (size_t i = 0; i < edit->n; i++)
		size += edit->changes[i].len;
	char *text = malloc(size);
	if (!text)
		return error_set(err, ENOMEM, "edit %s", json->file);

	size_t from = 0, len = 0;
	for (size_t i = 0; i < edit->n; i++) {
		const struct edit_change *c = &edit->changes[i];
		memcpy(text + len, json->text + from, c->at - from);
		len += c->at - from;
		memcpy(text + len, c->text, c->len);
		len += c->len;
		from = c->at + c->removed;
	}
	memcpy(text + len, json->text + from, json->len - from);
	len += json->len - from;
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	return 0;
}
