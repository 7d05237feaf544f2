/* SPDX-License-Identifier: Apache-2.0 */
/* From text to tree: the only file that calls yajl. What is read out of a tree, and how, is in json_read.c. */
#include "oci/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/text.h"
#include "oci/json_tree.h"

#define CHUNK_SIZE (64u << 10) /* of the first ones; then the next is as large as all before it, up to the most */
#define CHUNK_SIZE_MAX (16u << 20)

/* Memory of a tree: taken piece by piece, given back at once. */
struct json_chunk {
	struct json_chunk *next;
	size_t used;
	size_t size;
	_Alignas(max_align_t) char bytes[];
};

struct builder {
	struct json *json;
	yajl_handle yajl;
	struct error *err;
	bool failed;   /* err says why */
	bool at_end;   /* all text is yajl's: what it counts as consumed is no longer ours */
	size_t end;    /* of the last token */
	uint32_t line; /* where end is */
	size_t depth;
	struct json_value *open[JSON_DEPTH_MAX];  /* arrays and objects around the next value */
	struct json_value **tail[JSON_DEPTH_MAX]; /* where its pointer goes */
	struct json_value key;                    /* of the next value: only its key fields count */
};

static void *json_take(struct json *json, size_t size)
{
	size = (size + 7) & ~(size_t) 7;
	struct json_chunk *chunk = json->chunks;
	if (!chunk || size > chunk->size - chunk->used) {
		size_t room = json->taken < CHUNK_SIZE ? CHUNK_SIZE : json->taken;
		room = room > CHUNK_SIZE_MAX ? CHUNK_SIZE_MAX : room;
		room = room < size ? size : room;
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		memory_fill_soon(chunk, sizeof(*chunk) + room);
		json->taken += room;
		*chunk = (struct json_chunk){ .next = json->chunks, .size = room };
		json->chunks = chunk;
	}
	void *p = chunk->bytes + chunk->used;
	chunk->used += size;
	return p;
}

void json_free(struct json *json)
{
	if (!json)
		return;
	for (struct json_chunk *chunk = json->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(json);
}

const struct json_value *json_root(const struct json *json)
{
	return json->root;
}

/* The length of the UTF-8 sequence that starts here (RFC 3629 section 4), or 0. yajl lets long forms and surrogates by.
 */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
	size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
		(*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* What no text may have anywhere, comments included. */
static int check_bytes(const struct json *json, struct error *err)
{
	const unsigned char *text = (const unsigned char *) json->text;
	for (size_t at = 0; at < json->len;) {
		unsigned char c = text[at];
		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
			return json_complain_at(json, at, err, "control byte 0x%02x, expected JSON text", c);
		size_t n = utf8_sequence(text + at, json->len - at);
		if (n == 0)
			return json_complain_at(json, at, err, "byte 0x%02x is not UTF-8, expected JSON text", c);
		at += n;
	}
	return 0;
}

/* The end of the comment that starts here; at itself where it is none, or has no end. */
static size_t skip_comment(const struct json *json, size_t at)
{
	const char *text = json->text + at;
	size_t len = json->len - at;
	if (!json->comments || len < 2)
		return at;
	if (text[1] == '/') {
		const char *end = memchr(text, '\n', len);
		return end ? at + (size_t) (end - text) : json->len;
	}
	if (text[1] == '*') {
		const char *end = memmem(text + 2, len - 2, "*/", 2);
		return end ? at + (size_t) (end - text) + 2 : at;
	}
	return at;
}

/* Where the token after at starts: yajl tells only where tokens end. Counts the lines on the way. */
static size_t skip_to_token(const struct json *json, size_t at, uint32_t *line)
{
	while (at < json->len) {
		size_t next = at + 1;
		if (json->text[at] == '/')
			next = skip_comment(json, at);
		else if (!strchr(" \t\r\n,:", json->text[at]))
			break;
		if (next == at)
			break;
		for (const char *p = json->text + at; (p = memchr(p, '\n', (size_t) (json->text + next - p))); p++)
			++*line;
		at = next;
	}
	return at;
}

static size_t consumed(const struct builder *b)
{
	return b->at_end ? b->json->len : yajl_get_bytes_consumed(b->yajl);
}

/* Takes the token that yajl has just read: returns where it starts, and moves on to its end. */
static size_t take_token(struct builder *b)
{
	size_t start = skip_to_token(b->json, b->end, &b->line);
	b->end = consumed(b);
	return start;
}

static int fail(struct builder *b)
{
	b->failed = true;
	return 0; /* to yajl: stop here */
}

static int fail_memory(struct builder *b)
{
	error_set(b->err, ENOMEM, "read JSON");
	return fail(b);
}

static struct json_value *add_value(struct builder *b, enum json_kind kind)
{
	struct json *json = b->json;
	size_t start = take_token(b);
	if (b->depth == 0 && kind != JSON_OBJECT) {
		json_complain_at(json, start, b->err, "is no object, expected {");
		fail(b);
		return NULL;
	}
	if (json->n_values == JSON_VALUES_MAX) {
		json_complain_at(json, start, b->err, "too long, expected at most %u values", JSON_VALUES_MAX);
		fail(b);
		return NULL;
	}

	struct json_value *value = json_take(json, sizeof(*value));
	if (!value) {
		fail_memory(b);
		return NULL;
	}
	*value = b->key;
	b->key = (struct json_value){ 0 };
	value->kind = kind;
	value->offset = (uint32_t) start;
	value->line = b->line;
	json->n_values++;
	if (b->depth == 0) {
		json->root = value;
		return value;
	}
	value->parent = b->open[b->depth - 1];
	value->parent->len++;
	*b->tail[b->depth - 1] = value;
	b->tail[b->depth - 1] = &value->next;
	return value;
}

static int hex4(const char *p)
{
	char digits[5] = { p[0], p[1], p[2], p[3], '\0' };
	return (int) strtol(digits, NULL, 16);
}

/*
 * What is wrong with the escapes of a string that yajl has accepted, or NULL. yajl turns lone surrogates into '?', and
 * NUL would end a C string early.
 */
static const char *escape_problem(const char *raw, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (raw[i] != '\\')
			continue;
		i++;
		if (raw[i] != 'u' || len - i < 5)
			continue;
		int unit = hex4(raw + i + 1);
		i += 4;
		if (unit == 0)
			return "\\u0000 in a string, expected text without NUL";
		if (unit < 0xd800 || unit > 0xdfff)
			continue;
		if (unit > 0xdbff || len - i < 7 || raw[i + 1] != '\\' || raw[i + 2] != 'u')
			return "lone surrogate in a string, expected text";
		unit = hex4(raw + i + 3);
		if (unit < 0xdc00 || unit > 0xdfff)
			return "lone surrogate in a string, expected text";
		i += 6;
	}
	return NULL;
}

/* The string between the quotes at start and before b->end, as bytes that live as long as the tree. */
static bool keep_string(struct builder *b, size_t start, const unsigned char *bytes, size_t len, const char **ret)
{
	const char *raw = b->json->text + start + 1;
	size_t raw_len = b->end - start - 2;
	if (!memchr(raw, '\\', raw_len)) {
		*ret = raw;
		return true;
	}
	const char *problem = escape_problem(raw, raw_len);
	if (problem) {
		json_complain_at(b->json, start, b->err, "%s", problem);
		fail(b);
		return false;
	}
	char *copy = json_take(b->json, len);
	if (!copy) {
		fail_memory(b);
		return false;
	}
	memcpy(copy, bytes, len);
	*ret = copy;
	return true;
}

static int on_null(void *ctx)
{
	return add_value(ctx, JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int on)
{
	struct json_value *value = add_value(ctx, JSON_BOOL);
	if (value)
		value->len = on != 0;
	return value != NULL;
}

static int on_number(void *ctx, const char *bytes, size_t len)
{
	(void) bytes; /* yajl's buffer where a number ends the text; the tree points into the text */
	struct builder *b = ctx;
	struct json_value *value = add_value(b, JSON_NUMBER);
	if (!value)
		return 0;
	value->bytes = b->json->text + value->offset;
	value->len = (uint32_t) len;
	return 1;
}

static int on_string(void *ctx, const unsigned char *bytes, size_t len)
{
	struct builder *b = ctx;
	struct json_value *value = add_value(b, JSON_STRING);
	if (!value || !keep_string(b, value->offset, bytes, len, &value->bytes))
		return 0;
	value->len = (uint32_t) len;
	return 1;
}

static int on_key(void *ctx, const unsigned char *bytes, size_t len)
{
	struct builder *b = ctx;
	size_t start = take_token(b);
	b->key = (struct json_value){ .key_len = (uint32_t) len, .key_offset = (uint32_t) start };
	return keep_string(b, start, bytes, len, &b->key.key);
}

static int open_value(struct builder *b, enum json_kind kind)
{
	struct json_value *value = add_value(b, kind);
	if (!value)
		return 0;
	if (b->depth == JSON_DEPTH_MAX) {
		json_complain_at(
			b->json, value->offset, b->err, "nested too deep, expected at most %d levels", JSON_DEPTH_MAX);
		return fail(b);
	}
	value->first = NULL;
	b->open[b->depth] = value;
	b->tail[b->depth] = &value->first;
	b->depth++;
	return 1;
}

static int compare_keys(const void *a, const void *b)
{
	const struct json_value *x = *(const struct json_value *const *) a, *y = *(const struct json_value *const *) b;
	if (x->key_len != y->key_len)
		return x->key_len < y->key_len ? -1 : 1;
	int order = memcmp(x->key, y->key, x->key_len);
	if (order)
		return order;
	return x->key_offset < y->key_offset ? -1 : x->key_offset > y->key_offset;
}

static bool same_key(const struct json_value *a, const struct json_value *b)
{
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* *ret: a member whose key an earlier one has, or NULL. Sorted: an object can have a million. False: out of memory. */
static bool find_duplicate(const struct json_value *object, const struct json_value **ret)
{
	*ret = NULL;
	if (object->len < 2)
		return true;
	_cleanup_free_ const struct json_value **members = calloc(object->len, sizeof(struct json_value *));
	if (!members)
		return false;
	size_t n = 0;
	for (const struct json_value *member = object->first; member; member = member->next)
		members[n++] = member;
	qsort(members, n, sizeof(struct json_value *), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (same_key(members[i - 1], members[i])) {
			*ret = members[i];
			return true;
		}
	return true;
}

static int on_end_array(void *ctx)
{
	struct builder *b = ctx;
	take_token(b);
	b->depth--;
	return 1;
}

static int on_end_object(void *ctx)
{
	struct builder *b = ctx;
	take_token(b);
	b->depth--;
	const struct json_value *duplicate;
	if (!find_duplicate(b->open[b->depth], &duplicate))
		return fail_memory(b);
	if (duplicate) {
		json_complain_key(b->json, duplicate, b->err, "is there twice, expected once");
		return fail(b);
	}
	return 1;
}

static int on_array(void *ctx)
{
	return open_value(ctx, JSON_ARRAY);
}

static int on_object(void *ctx)
{
	return open_value(ctx, JSON_OBJECT);
}

/* yajl does not look at what these return: out of memory must not become a write to a small address. */
static void *yajl_must_malloc(void *ctx, size_t size)
{
	(void) ctx;
	void *p = malloc(size);
	if (!p && size)
		abort();
	return p;
}

static void *yajl_must_realloc(void *ctx, void *old, size_t size)
{
	(void) ctx;
	void *p = realloc(old, size);
	if (!p && size)
		abort();
	return p;
}

static void yajl_do_free(void *ctx, void *p)
{
	(void) ctx;
	free(p);
}

/* Nothing but white space and comments. */
static int complain_empty(struct builder *b, size_t at)
{
	return json_complain_at(b->json, at, b->err, "is empty, expected an object");
}

/* yajl's own words, at the token that it did not like. */
static int complain_syntax(struct builder *b)
{
	uint32_t line = b->line;
	size_t at = skip_to_token(b->json, b->end, &line);
	if (!b->json->root && at == b->json->len)
		return complain_empty(b, at);
	size_t last = consumed(b) - 1;
	if (consumed(b) > b->end && last < at && strchr(",:", b->json->text[last]))
		at = last; /* a comma or colon too many */

	unsigned char *said = yajl_get_error(b->yajl, 0, NULL, 0);
	char words[128];
	(void) snprintf(words, sizeof(words), "%s", said ? (const char *) said : "error");
	yajl_free_error(b->yajl, said);
	words[strcspn(words, "\n")] = '\0';
	const char *behind = strstr(words, "error: ");
	return json_complain_at(b->json, at, b->err, "not JSON: %s", behind ? behind + strlen("error: ") : words);
}

static int check_end(struct builder *b)
{
	struct json *json = b->json;
	size_t at = skip_to_token(json, b->end, &b->line);
	if (!json->root)
		return complain_empty(b, at);
	if (at != json->len) /* yajl takes a comment without an end for its end */
		return json_complain_at(json, at, b->err, "more behind the object, expected its end");
	return 0;
}

static int build(struct builder *b)
{
	const unsigned char *text = (const unsigned char *) b->json->text;
	yajl_status status = yajl_parse(b->yajl, text, b->json->len);
	if (status == yajl_status_ok && !b->failed) {
		b->at_end = true;
		status = yajl_complete_parse(b->yajl);
	}
	if (b->failed)
		return b->err ? b->err->code : -EINVAL;
	return status == yajl_status_ok ? check_end(b) : complain_syntax(b);
}

int json_parse(const char *file, const char *text, size_t len, bool comments, struct json **ret, struct error *err)
{
	static const yajl_callbacks callbacks = {
		.yajl_null = on_null,
		.yajl_boolean = on_boolean,
		.yajl_number = on_number,
		.yajl_string = on_string,
		.yajl_start_map = on_object,
		.yajl_map_key = on_key,
		.yajl_end_map = on_end_object,
		.yajl_start_array = on_array,
		.yajl_end_array = on_end_array,
	};
	yajl_alloc_funcs memory = { yajl_must_malloc, yajl_must_realloc, yajl_do_free, NULL };

	if (len >= UINT32_MAX)
		return error_say(err, EINVAL, "%s: too long", file);
	_cleanup_json_ struct json *json = calloc(1, sizeof(*json));
	if (!json)
		return error_set(err, ENOMEM, "read JSON");
	*json = (struct json){ .file = file, .text = text, .len = len, .comments = comments };
	int r = check_bytes(json, err);
	if (r < 0)
		return r;

	struct builder b = { .json = json, .err = err, .line = 1 };
	b.yajl = yajl_alloc(&callbacks, &memory, &b);
	if (!b.yajl)
		return error_set(err, ENOMEM, "read JSON");
	yajl_config(b.yajl, yajl_allow_comments, comments ? 1 : 0);
	r = build(&b);
	yajl_free(b.yajl);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(json);
	return 0;
}
