/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/toml_scan.h"

struct parser {
	struct toml *toml;
	size_t at;
	size_t depth;
	size_t header_len;      /* of path: what the header says */
	struct toml_bytes path; /* of the statement that is being read */
	struct error *err;
};

int toml_complain(const struct toml *toml, size_t at, struct error *err, const char *fmt, ...)
{
	unsigned line = 1;
	size_t start = 0;
	for (size_t i = 0; i < at && i < toml->len; i++) {
		if (toml->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	char message[256];
	va_list args;
	va_start(args, fmt);
	(void) vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	return error_say(err, EINVAL, "%s:%u:%zu: %s", toml->file, line, at - start + 1, message);
}

static int complain(const struct parser *p, const char *message)
{
	return toml_complain(p->toml, p->at, p->err, "%s", message);
}

static int no_memory(const struct parser *p)
{
	return error_set(p->err, ENOMEM, "%s", p->toml->file);
}

void toml_free(struct toml *toml)
{
	if (!toml)
		return;
	for (size_t i = 0; i < toml->n; i++)
		free(toml->items[i].path);
	free(toml->items);
	free(toml);
}

/* What stands at an offset; a NUL is nowhere in the text, and so means its end. */
static char peek(const struct parser *p)
{
	return p->at < p->toml->len ? p->toml->text[p->at] : '\0';
}

static bool take(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static void skip_comment(struct parser *p)
{
	if (peek(p) == '#')
		while (peek(p) != '\n' && peek(p) != '\0')
			p->at++;
}

/* Blanks, line ends and comments: what may stand between statements and between an array's elements. */
static void skip_space(struct parser *p)
{
	do {
		skip_blanks(p);
		skip_comment(p);
	} while (take(p, '\r') || take(p, '\n'));
}

static int end_statement(struct parser *p)
{
	skip_blanks(p);
	skip_comment(p);
	(void) take(p, '\r');
	return take(p, '\n') || peek(p) == '\0' ? 0 : complain(p, "expected the end of the line");
}

/* Adds an item, which gets a copy of the path that has been read, or none. Its index, or -ENOMEM. */
static int add_item(struct parser *p, const struct toml_item *item, bool with_path, size_t *ret)
{
	struct toml *toml = p->toml;
	if (toml->n == toml->size) {
		size_t size = 2 * toml->size + 64;
		struct toml_item *more = reallocarray(toml->items, size, sizeof(*more));
		if (!more)
			return no_memory(p);
		toml->items = more;
		toml->size = size;
	}
	char *path = NULL;
	if (with_path) {
		path = malloc(p->path.len);
		if (!path)
			return no_memory(p);
		memcpy(path, p->path.p, p->path.len);
	}
	*ret = toml->n++;
	toml->items[*ret] = *item;
	toml->items[*ret].path = path;
	toml->items[*ret].path_len = with_path ? p->path.len : 0;
	toml->items[*ret].header_len = p->header_len;
	return 0;
}

static bool is_bare(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '-';
}

static int parse_key_part(struct parser *p)
{
	int r = 0;
	size_t start = p->at;
	if (peek(p) == '"' || peek(p) == '\'') {
		r = toml_scan_string(p->toml, &p->at, false, &p->path, p->err);
	} else {
		while (is_bare(peek(p)))
			p->at++;
		if (p->at == start)
			return complain(p, "expected a key");
		r = toml_bytes_add(&p->path, p->toml->text + start, p->at - start);
	}
	if (r == 0)
		r = toml_bytes_add(&p->path, "", 1);
	return r == -ENOMEM ? no_memory(p) : r;
}

/* Adds a.b."c" to the path. */
static int parse_key(struct parser *p)
{
	for (;;) {
		skip_blanks(p);
		int r = parse_key_part(p);
		if (r < 0)
			return r;
		skip_blanks(p);
		if (!take(p, '.'))
			return 0;
	}
}

static int parse_value(struct parser *p, size_t start, size_t parent);

static int parse_pair(struct parser *p)
{
	size_t start = p->at, len = p->path.len;
	int r = parse_key(p);
	if (r < 0)
		return r;
	if (!take(p, '='))
		return complain(p, "expected = behind the key");
	skip_blanks(p);
	r = parse_value(p, start, TOML_NO_PARENT);
	p->path.len = len;
	return r;
}

static int parse_elements(struct parser *p, size_t array)
{
	p->at++;
	for (;;) {
		skip_space(p);
		if (take(p, ']'))
			return 0;
		int r = parse_value(p, p->at, array);
		if (r < 0)
			return r;
		skip_space(p);
		if (!take(p, ',') && peek(p) != ']')
			return complain(p, "expected a comma or ] in the array");
	}
}

static int parse_members(struct parser *p)
{
	p->at++;
	skip_blanks(p);
	if (take(p, '}'))
		return 0;
	for (;;) {
		skip_blanks(p);
		int r = parse_pair(p);
		if (r < 0)
			return r;
		skip_blanks(p);
		if (take(p, '}'))
			return 0;
		if (!take(p, ','))
			return complain(p, "expected a comma or } in the inline table");
	}
}

/* An inline table in an array has a path that nobody asks for: the array's, with an empty part behind it. */
static int parse_inline(struct parser *p, bool element)
{
	size_t len = p->path.len;
	if (element && toml_bytes_add(&p->path, "", 1) < 0)
		return no_memory(p);
	int r = parse_members(p);
	p->path.len = len;
	return r;
}

static enum toml_kind kind_at(const struct parser *p)
{
	switch (peek(p)) {
	case '"':
	case '\'':
		return TOML_STRING;
	case '[':
		return TOML_ARRAY;
	case '{':
		return TOML_INLINE;
	default:
		return TOML_SCALAR;
	}
}

static int parse_value(struct parser *p, size_t start, size_t parent)
{
	struct toml_item item = { .parent = parent, .start = start, .at = p->at, .kind = kind_at(p) };
	size_t index;
	int r = add_item(p, &item, parent == TOML_NO_PARENT, &index);
	if (r < 0)
		return r;
	if (p->depth == TOML_DEPTH_MAX)
		return complain(p, "too many levels");
	p->depth++;
	switch (item.kind) {
	case TOML_STRING:
		r = toml_scan_string(p->toml, &p->at, true, NULL, p->err);
		break;
	case TOML_ARRAY:
		r = parse_elements(p, index);
		break;
	case TOML_INLINE:
		r = parse_inline(p, parent != TOML_NO_PARENT);
		break;
	default:
		r = toml_scan_scalar(p->toml, &p->at, p->err);
	}
	p->depth--;
	p->toml->items[index].end = p->at;
	return r;
}

static int parse_header(struct parser *p)
{
	struct toml_item item = { .parent = TOML_NO_PARENT, .start = p->at, .at = p->at, .kind = TOML_TABLE };
	p->at++;
	if (take(p, '['))
		item.kind = TOML_TABLES;
	p->path.len = 0;
	int r = parse_key(p);
	if (r < 0)
		return r;
	if (!take(p, ']') || (item.kind == TOML_TABLES && !take(p, ']')))
		return complain(p, "expected ] behind the table's name");
	item.end = p->at;
	p->header_len = p->path.len;
	size_t index;
	return add_item(p, &item, true, &index);
}

static int parse_statements(struct parser *p)
{
	for (;;) {
		skip_space(p);
		if (peek(p) == '\0')
			return 0;
		int r = peek(p) == '[' ? parse_header(p) : parse_pair(p);
		if (r == 0)
			r = end_statement(p);
		if (r < 0)
			return r;
	}
}

static int check_bytes(const struct toml *toml, struct error *err)
{
	if (toml->len > TOML_SIZE_MAX)
		return error_say(err, EINVAL, "%s: longer than %u bytes", toml->file, TOML_SIZE_MAX);
	for (size_t i = 0; i < toml->len; i++) {
		unsigned char c = (unsigned char) toml->text[i];
		bool line_end = c == '\n' || (c == '\r' && i + 1 < toml->len && toml->text[i + 1] == '\n');
		if ((c < 0x20 && c != '\t' && !line_end) || c == 0x7f)
			return toml_complain(toml, i, err, "control byte 0x%02x, expected TOML text", c);
	}
	return 0;
}

int toml_parse(const char *file, const char *text, size_t len, struct toml **ret, struct error *err)
{
	_cleanup_toml_ struct toml *toml = calloc(1, sizeof(*toml));
	if (!toml)
		return error_set(err, ENOMEM, "%s", file);
	*toml = (struct toml){ .file = file, .text = text, .len = len };
	int r = check_bytes(toml, err);
	if (r < 0)
		return r;
	struct parser p = { .toml = toml, .err = err };
	r = parse_statements(&p);
	free(p.path.p);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(toml);
	return 0;
}

int toml_find(
	const struct toml *toml, const char *path, size_t path_len, const struct toml_item **ret, struct error *err)
{
	const struct toml_item *found = NULL;
	for (size_t i = 0; i < toml->n; i++) {
		const struct toml_item *item = &toml->items[i];
		if (item->path_len != path_len || memcmp(item->path, path, path_len) != 0)
			continue;
		if (found)
			return toml_complain(toml, item->start, err, "stands here a second time");
		found = item;
	}
	*ret = found;
	return 0;
}

int toml_string(const struct toml *toml, const struct toml_item *item, char **ret, struct error *err)
{
	if (item->kind != TOML_STRING)
		return toml_complain(toml, item->at, err, "expected a string");
	struct toml_bytes bytes = { 0 };
	size_t at = item->at;
	int r = toml_scan_string(toml, &at, true, &bytes, err);
	if (r == 0 && toml_bytes_add(&bytes, "", 1) < 0)
		r = error_set(err, ENOMEM, "%s", toml->file);
	if (r < 0) {
		free(bytes.p);
		return r;
	}
	*ret = bytes.p;
	return 0;
}

const struct toml_item *toml_element(
	const struct toml *toml, const struct toml_item *array, const struct toml_item *item)
{
	size_t index = (size_t) (array - toml->items);
	for (size_t i = (item ? (size_t) (item - toml->items) : index) + 1; i < toml->n; i++)
		if (toml->items[i].parent == index)
			return &toml->items[i];
	return NULL;
}
