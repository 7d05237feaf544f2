/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/toml_edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define LINE_MAX_LEN 8192

/* The document with removed bytes at an offset replaced by insert, whose '\n' become line ends of the document's. */
static int splice(const struct toml *toml, size_t at, size_t removed, const char *insert, char **ret, size_t *ret_len,
	struct error *err)
{
	const char *first = memchr(toml->text, '\n', toml->len);
	bool crlf = first && first > toml->text && first[-1] == '\r';
	char *text = malloc(toml->len + 2 * strlen(insert) + 1);
	if (!text)
		return error_set(err, ENOMEM, "edit %s", toml->file);
	memcpy(text, toml->text, at);
	size_t len = at;
	for (; *insert; insert++) {
		if (crlf && *insert == '\n')
			text[len++] = '\r';
		text[len++] = *insert;
	}
	memcpy(text + len, toml->text + at + removed, toml->len - at - removed);
	len += toml->len - at - removed;
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	return 0;
}

bool toml_quote(const char *string, char *ret, size_t size)
{
	struct text text = text_init(ret, size);
	text_add(&text, "\"");
	for (; *string; string++) {
		if ((unsigned char) *string < 0x20 || *string == 0x7f)
			text_add(&text, "\\u%04x", (unsigned) *string);
		else
			text_add(&text, "%s%c", *string == '"' || *string == '\\' ? "\\" : "", *string);
	}
	text_add(&text, "\"");
	return !text.cut;
}

static size_t line_start(const struct toml *toml, size_t at)
{
	while (at > 0 && toml->text[at - 1] != '\n')
		at--;
	return at;
}

static size_t line_end(const struct toml *toml, size_t at)
{
	const char *end = memchr(toml->text + at, '\n', toml->len - at);
	return end ? (size_t) (end - toml->text) + 1 : toml->len;
}

static size_t skip_blanks(const struct toml *toml, size_t at)
{
	while (at < toml->len && (toml->text[at] == ' ' || toml->text[at] == '\t'))
		at++;
	return at;
}

static size_t skip_white(const struct toml *toml, size_t at)
{
	while (at < toml->len && strchr(" \t\r\n", toml->text[at]))
		at++;
	return at;
}

int toml_append_element(const struct toml *toml, const struct toml_item *array, const char *string, char **ret,
	size_t *ret_len, struct error *err)
{
	char quoted[LINE_MAX_LEN], insert[2 * LINE_MAX_LEN];
	if (!toml_quote(string, quoted, sizeof(quoted)))
		return error_set(err, ENAMETOOLONG, "edit %s", toml->file);

	const struct toml_item *last = NULL, *next = NULL;
	while ((next = toml_element(toml, array, last)))
		last = next;
	if (!last)
		return splice(toml, array->at + 1, 0, quoted, ret, ret_len, err);
	size_t line = line_start(toml, last->at);
	if (skip_blanks(toml, line) == last->at && line > array->at)
		(void) snprintf(insert, sizeof(insert), ",\n%.*s%s",
			(int) (last->at - line < 64 ? last->at - line : 64), toml->text + line, quoted);
	else
		(void) snprintf(insert, sizeof(insert), ", %s", quoted);
	return splice(toml, last->end, 0, insert, ret, ret_len, err);
}

/* Behind the comma, where there is one next but for white space. */
static size_t skip_comma(const struct toml *toml, size_t at)
{
	size_t comma = skip_white(toml, at);
	return comma < toml->len && toml->text[comma] == ',' ? comma + 1 : at;
}

int toml_remove_element(
	const struct toml *toml, const struct toml_item *element, char **ret, size_t *ret_len, struct error *err)
{
	const struct toml_item *array = &toml->items[element->parent], *before = NULL, *next;
	while ((next = toml_element(toml, array, before)) != element)
		before = next;
	next = toml_element(toml, array, element);

	size_t from = element->at, to = element->end;
	if (before && skip_white(toml, skip_comma(toml, before->end)) == element->at) {
		from = before->end;
	} else {
		to = skip_comma(toml, to);
		if (next && skip_white(toml, to) == next->at)
			to = next->at;
	}
	return splice(toml, from, to - from, "", ret, ret_len, err);
}

static bool is_below(const struct toml_item *item, const char *path, size_t path_len)
{
	return item->path_len >= path_len && memcmp(item->path, path, path_len) == 0;
}

/* Is path, or something that it goes through, no table with a header, or none that is said by headers below it? */
static bool is_written_otherwise(const struct toml_item *item, const char *path, size_t path_len)
{
	if (item->kind == TOML_TABLE || !item->path)
		return false;
	bool through = item->path_len <= path_len && memcmp(item->path, path, item->path_len) == 0;
	bool dotted = is_below(item, path, path_len) && item->header_len < path_len;
	return through || dotted;
}

int toml_check_table(const struct toml *toml, const char *path, size_t path_len, const char *shown, struct error *err)
{
	for (size_t i = 0; i < toml->n; i++)
		if (is_written_otherwise(&toml->items[i], path, path_len))
			return toml_complain(toml, toml->items[i].start, err,
				"%s is written without a header of its own, or is no table: expected [%s]", shown,
				shown);
	return 0;
}

int toml_add_line(const struct toml *toml, const char *path, size_t path_len, const char *shown, const char *line,
	char **ret, size_t *ret_len, struct error *err)
{
	const struct toml_item *table;
	char lines[LINE_MAX_LEN];
	int r = toml_find(toml, path, path_len, &table, err);
	if (r == 0)
		r = toml_check_table(toml, path, path_len, shown, err);
	if (r < 0)
		return r;
	if (!table) {
		(void) snprintf(lines, sizeof(lines), "[%s]\n%s\n", shown, line);
		return toml_append_lines(toml, lines, ret, ret_len, err);
	}
	size_t at = line_end(toml, table->end);
	bool ended = toml->text[at - 1] == '\n';
	(void) snprintf(lines, sizeof(lines), "%s%s\n", ended ? "" : "\n", line);
	return splice(toml, at, 0, lines, ret, ret_len, err);
}

int toml_remove_statement(
	const struct toml *toml, const struct toml_item *item, char **ret, size_t *ret_len, struct error *err)
{
	size_t from = line_start(toml, item->start), to = line_end(toml, item->end);
	return splice(toml, from, to - from, "", ret, ret_len, err);
}

int toml_append_lines(const struct toml *toml, const char *lines, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_free_ char *insert = NULL;
	bool ended = toml->len == 0 || toml->text[toml->len - 1] == '\n';
	if (asprintf(&insert, "%s%s%s", ended ? "" : "\n", toml->len == 0 ? "" : "\n", lines) < 0) {
		insert = NULL;
		return error_set(err, ENOMEM, "edit %s", toml->file);
	}
	return splice(toml, toml->len, 0, insert, ret, ret_len, err);
}

/* From the header, or the empty line before it, to the last value that belongs to it. */
static void find_extent(const struct toml *toml, size_t index, size_t *ret_from, size_t *ret_to)
{
	const struct toml_item *header = &toml->items[index];
	size_t from = line_start(toml, header->start), end = header->end;
	for (size_t i = index + 1; i < toml->n; i++) {
		const struct toml_item *item = &toml->items[i];
		if (item->kind == TOML_TABLE || item->kind == TOML_TABLES)
			break;
		end = item->end > end ? item->end : end;
	}
	if (from > 0) {
		size_t before = line_start(toml, from - 1);
		size_t blank = skip_blanks(toml, before);
		if (toml->text[blank] == '\n' || toml->text[blank] == '\r')
			from = before;
	}
	*ret_from = from;
	*ret_to = line_end(toml, end);
}

/* The last header of that path or below it. */
static bool find_last_header(const struct toml *toml, const char *path, size_t path_len, size_t *ret)
{
	for (size_t i = toml->n; i-- > 0;) {
		const struct toml_item *item = &toml->items[i];
		bool header = item->kind == TOML_TABLE || item->kind == TOML_TABLES;
		if (header && is_below(item, path, path_len)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

int toml_remove_tables(
	const struct toml *toml, const char *path, size_t path_len, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_toml_ struct toml *rest = NULL;
	const struct toml *from = toml;
	size_t index, start, end, len = 0;
	while (find_last_header(from, path, path_len, &index)) {
		char *next;
		find_extent(from, index, &start, &end);
		int r = splice(from, start, end - start, "", &next, &len, err);
		if (r < 0)
			return r;
		toml_free(TAKE_PTR(rest));
		free(text);
		text = next;
		r = toml_parse(toml->file, text, len, &rest, err);
		if (r < 0)
			return r;
		from = rest;
	}
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}
