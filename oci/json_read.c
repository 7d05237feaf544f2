/* SPDX-License-Identifier: Apache-2.0 */
/* What is read out of a tree: values, objects by table, and the sentences that say what is wrong with them. */
#include "oci/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "oci/json_tree.h"

/* Of a file's name and of a key in messages: what is behind them must still fit. */
#define FILE_SHOWN_MAX 200
#define KEY_SHOWN_MAX 64

/* A key that is further than this from the one that was written was not meant. */
#define DISTANCE_MAX 2
#define DISTANCE_KEY_MAX 40

const struct json_value *json_member(const struct json_value *object, const char *name)
{
	for (const struct json_value *member = object->first; member; member = member->next)
		if (json_key_is(member, name))
			return member;
	return NULL;
}

static bool bytes_are(const char *bytes, size_t len, const char *string)
{
	return len == strlen(string) && memcmp(bytes, string, len) == 0;
}

bool json_is(const struct json_value *value, const char *string)
{
	return value->kind == JSON_STRING && bytes_are(value->bytes, value->len, string);
}

bool json_key_is(const struct json_value *value, const char *name)
{
	return bytes_are(value->key, value->key_len, name);
}

char *json_strdup(const struct json_value *value)
{
	char *copy = malloc((size_t) value->len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, value->bytes, value->len);
	copy[value->len] = '\0';
	return copy;
}

bool json_int64(const struct json_value *value, int64_t *ret)
{
	bool negative = value->bytes[0] == '-';
	int64_t n = 0;
	for (uint32_t i = negative; i < value->len; i++) {
		char c = value->bytes[i];
		if (c < '0' || c > '9')
			return false;
		/* Downwards: the smallest has no positive counterpart. */
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, c - '0', &n))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t) 0, n, &n))
		return false;
	*ret = n;
	return true;
}

const char *json_excerpt(const struct json_value *value, char buf[JSON_EXCERPT_MAX])
{
	struct text text = text_init(buf, JSON_EXCERPT_MAX - sizeof("...\""));
	text_add(&text, "\"");
	text_add_escaped(&text, value->bytes, value->len);
	(void) snprintf(buf + text.len, JSON_EXCERPT_MAX - text.len, text.cut ? "...\"" : "\"");
	return buf;
}

/* Messages */

static void position(const struct json *json, size_t offset, size_t *ret_line, size_t *ret_column)
{
	size_t line = 1, start = 0;
	for (size_t i = 0; i < offset; i++)
		if (json->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	*ret_line = line;
	*ret_column = offset - start + 1;
}

static void add_where(struct text *text, const struct json *json, size_t offset)
{
	size_t line, column, len = strlen(json->file);
	position(json, offset, &line, &column);
	size_t cut = len > FILE_SHOWN_MAX ? len - FILE_SHOWN_MAX : 0;
	text_add(text, cut ? "..." : "");
	text_add_escaped(text, json->file + cut, len - cut);
	text_add(text, ":%zu:%zu: ", line, column);
}

static void add_key(struct text *text, const struct json_value *value)
{
	bool cut = value->key_len > KEY_SHOWN_MAX;
	text_add_escaped(text, value->key, cut ? KEY_SHOWN_MAX : value->key_len);
	text_add(text, cut ? "..." : "");
}

static size_t index_of(const struct json_value *value)
{
	size_t index = 0;
	for (const struct json_value *v = value->parent->first; v != value; v = v->next)
		index++;
	return index;
}

/* "limits.connections: ", "allow[3]: "; nothing for the outermost object. */
static void add_path(struct text *text, const struct json_value *value)
{
	const struct json_value *chain[JSON_DEPTH_MAX + 1];
	size_t n = 0;
	for (; value->parent; value = value->parent)
		chain[n++] = value;
	if (n == 0)
		return;
	for (size_t i = n; i-- > 0;) {
		if (!chain[i]->key) {
			text_add(text, "[%zu]", index_of(chain[i]));
			continue;
		}
		text_add(text, i + 1 < n ? "." : "");
		add_key(text, chain[i]);
	}
	text_add(text, ": ");
}

__attribute__((format(printf, 5, 0))) static int complain(const struct json *json, size_t offset,
	const struct json_value *value, struct error *err, const char *fmt, va_list ap)
{
	char buf[ERROR_MESSAGE_MAX];
	char what[ERROR_MESSAGE_MAX];
	struct text text = text_init(buf, sizeof(buf));
	add_where(&text, json, offset);
	if (value)
		add_path(&text, value);
	(void) vsnprintf(what, sizeof(what), fmt, ap);
	return error_say(err, EINVAL, "%s%s", buf, what);
}

int json_complain_at(const struct json *json, size_t offset, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = complain(json, offset, NULL, err, fmt, ap);
	va_end(ap);
	return r;
}

int json_complain(const struct json *json, const struct json_value *value, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = complain(json, value->offset, value, err, fmt, ap);
	va_end(ap);
	return r;
}

int json_complain_key(const struct json *json, const struct json_value *value, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = complain(json, value->key_offset, value, err, fmt, ap);
	va_end(ap);
	return r;
}

/* Objects by table */

static const char *kind_text(enum json_kind kind)
{
	static const char *const texts[] = {
		[JSON_NULL] = "null",
		[JSON_BOOL] = "a boolean",
		[JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string",
		[JSON_ARRAY] = "an array",
		[JSON_OBJECT] = "an object",
	};
	return texts[kind];
}

int json_check_elements(const struct json *json, const struct json_value *array, enum json_kind kind, struct error *err)
{
	for (const struct json_value *v = array->first; v; v = v->next)
		if (v->kind != kind)
			return json_complain(json, v, err, "is %s, expected %s", kind_text(v->kind), kind_text(kind));
	return 0;
}

static void add_expected(struct text *text, const struct json_key *key)
{
	if (key->expected) {
		text_add(text, "%s", key->expected);
	} else if (key->choices) {
		for (const struct json_choice *choice = key->choices; choice->word; choice++)
			text_add(text, "%s\"%s\"", choice == key->choices ? "" : " or ", choice->word);
	} else if (key->kind == JSON_NUMBER && key->max > key->min) {
		text_add(text, "an integer from %" PRId64 " to %" PRId64, key->min, key->max);
	} else if (key->kind == JSON_BOOL) {
		text_add(text, "true or false");
	} else {
		text_add(text, "%s", kind_text(key->kind));
	}
}

static int complain_expected(const struct json *json, const struct json_key *key, const struct json_value *value,
	struct error *err, const char *what)
{
	char buf[200];
	struct text expected = text_init(buf, sizeof(buf));
	add_expected(&expected, key);
	return json_complain(json, value, err, "is %s, expected %s", what, buf);
}

static int read_integer(const struct json *json, const struct json_key *key, const struct json_value *value,
	int64_t *ret, struct error *err)
{
	int64_t n;
	if (!json_int64(value, &n) || n < key->min || n > key->max) {
		char what[40]; /* of a number's bytes none needs escaping */
		(void) snprintf(what, sizeof(what), value->len > 32 ? "%.*s..." : "%.*s",
			value->len > 32 ? 32 : (int) value->len, value->bytes);
		return complain_expected(json, key, value, err, what);
	}
	*ret = n;
	return 0;
}

int json_read_u32(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	int64_t n;
	int r = read_integer(json, key, value, &n, err);
	if (r < 0)
		return r;
	uint32_t narrow = (uint32_t) n;
	memcpy((char *) into + key->offset, &narrow, sizeof(narrow));
	return 0;
}

int json_read_u16(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	int64_t n;
	int r = read_integer(json, key, value, &n, err);
	if (r < 0)
		return r;
	uint16_t narrow = (uint16_t) n;
	memcpy((char *) into + key->offset, &narrow, sizeof(narrow));
	return 0;
}

int json_read_bool(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) json;
	(void) err;
	bool on = value->len;
	memcpy((char *) into + key->offset, &on, sizeof(on));
	return 0;
}

int json_read_choice(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	for (const struct json_choice *choice = key->choices; choice->word; choice++)
		if (json_is(value, choice->word)) {
			memcpy((char *) into + key->offset, &choice->value, sizeof(choice->value));
			return 0;
		}
	char excerpt[JSON_EXCERPT_MAX];
	return complain_expected(json, key, value, err, json_excerpt(value, excerpt));
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;
	return least < c ? least : c;
}

/* Levenshtein's, of what fits into the table; more than anybody accepts where it does not. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[DISTANCE_KEY_MAX + 1];
	if (a_len > DISTANCE_KEY_MAX || b_len > DISTANCE_KEY_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

static const struct json_key *nearest(const struct json_value *member, const struct json_key *keys)
{
	const struct json_key *best = NULL;
	size_t least = DISTANCE_MAX + 1;
	for (const struct json_key *key = keys; key->name; key++) {
		size_t len = strlen(key->name);
		size_t d = distance(member->key, member->key_len, key->name, len);
		if (d < least && d * 2 <= len) { /* two letters' difference is nothing in "startup", all in "log" */
			best = key;
			least = d;
		}
	}
	return best;
}

int json_complain_unknown(
	const struct json *json, const struct json_value *member, const struct json_key *keys, struct error *err)
{
	const struct json_key *meant = nearest(member, keys);
	if (meant)
		return json_complain_key(json, member, err, "unknown key, did you mean \"%s\"?", meant->name);

	char buf[300];
	struct text names = text_init(buf, sizeof(buf));
	for (const struct json_key *key = keys; key->name; key++)
		text_add(&names, "%s%s", key == keys ? "" : ", ", key->name);
	return json_complain_key(json, member, err, "unknown key, expected one of: %s", buf);
}

static int read_member(const struct json *json, const struct json_key *key, const struct json_value *member, void *into,
	struct error *err)
{
	if (member->kind == JSON_NULL && key->null_is_absent)
		return 0;
	if (member->kind != key->kind)
		return complain_expected(json, key, member, err, kind_text(member->kind));
	return key->read ? key->read(json, key, member, into, err) : 0;
}

static const struct json_key *find_key(const struct json_value *member, const struct json_key *keys)
{
	for (const struct json_key *key = keys; key->name; key++)
		if (json_key_is(member, key->name))
			return key;
	return NULL;
}

/*
 * The letter at text, small, as Go's encoding/json folds: two beyond ASCII are letters of it as well, the Kelvin sign
 * and the long s. *ret_len is how many bytes it has.
 */
static char fold(const char *text, size_t len, size_t *ret_len)
{
	static const struct {
		const char *bytes;
		char letter;
	} others[] = { { "\xe2\x84\xaa", 'k' }, { "\xc5\xbf", 's' } };
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		*ret_len = strlen(others[i].bytes);
		if (len >= *ret_len && memcmp(text, others[i].bytes, *ret_len) == 0)
			return others[i].letter;
	}
	*ret_len = 1;
	return (char) (*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);
}

static bool is_like(const struct json_value *member, const char *name)
{
	size_t name_len = strlen(name), at = 0, n;
	for (size_t i = 0; i < member->key_len; i += n, at++) {
		size_t unused;
		char letter = fold(member->key + i, member->key_len - i, &n);
		if (at == name_len || letter != fold(name + at, 1, &unused))
			return false;
	}
	return at == name_len;
}

static int check_unlike(
	const struct json *json, const struct json_value *member, const struct json_key *keys, struct error *err)
{
	for (const struct json_key *key = keys; key->name; key++)
		if (is_like(member, key->name))
			return json_complain(json, member, err,
				"is \"%s\" to some runtimes, and to others not; write it so", key->name);
	return 0;
}

int json_read_object(const struct json *json, const struct json_value *object, const struct json_key *keys,
	enum json_unknown unknown, void *into, struct error *err)
{
	for (const struct json_value *member = object->first; member; member = member->next) {
		const struct json_key *key = find_key(member, keys);
		int r = 0;
		if (key)
			r = read_member(json, key, member, into, err);
		else if (unknown == JSON_UNKNOWN_REFUSED)
			r = json_complain_unknown(json, member, keys, err);
		else if (unknown == JSON_UNKNOWN_UNLIKE)
			r = check_unlike(json, member, keys, err);
		if (r < 0)
			return r;
	}
	for (const struct json_key *key = keys; key->name; key++)
		if (key->required && !json_member(object, key->name)) {
			char buf[200];
			struct text expected = text_init(buf, sizeof(buf));
			add_expected(&expected, key);
			return json_complain(json, object, err, "%s: is missing, expected %s", key->name, buf);
		}
	return 0;
}
