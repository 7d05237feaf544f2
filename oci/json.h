/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict JSON reader (RFC 8259): text -> a small tree that knows where each key and value stands, and the reading of
 * objects by a table of known keys, so that what is wrong with a document is said in one way, in one place:
 *
 *     FILE:LINE:COLUMN: key: what is wrong, what was expected
 *
 * Lines and columns count from 1, columns in bytes. What a stranger wrote is escaped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define JSON_DEPTH_MAX 32
#define JSON_VALUES_MAX (4u << 20) /* of one document: bounds the memory that a text can ask for */

enum json_kind {
	JSON_NULL = 1,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json;

/* One value. Strings and keys are UTF-8, without NUL bytes inside and not terminated by one. */
struct json_value {
	const char *key; /* of a member of an object, else NULL */
	union {
		const char *bytes;        /* of a string; of a number, as written */
		struct json_value *first; /* of an array or object */
	};
	struct json_value *next;
	struct json_value *parent;
	uint32_t key_len;
	uint32_t len;    /* bytes of a string or number, children of an array or object, 0 or 1 of a boolean */
	uint32_t offset; /* in the text */
	uint32_t key_offset;
	uint32_t line;
	enum json_kind kind;
};

/*
 * Parses text, of at most UINT32_MAX bytes, whose outermost value must be an object. Refused are: what is not UTF-8
 * (RFC 3629), control bytes, NUL in a string however it is written, lone surrogates, a key that an object has twice
 * (compared as they read, not as they are written), more than JSON_DEPTH_MAX levels or JSON_VALUES_MAX values, anything
 * but white space behind the object. Comments (// and slash-star) only where the caller says so.
 *
 * Returns 0 and *ret (json_free()), or -EINVAL. The tree points into text and file: both must outlive it.
 */
int json_parse(const char *file, const char *text, size_t len, bool comments, struct json **ret, struct error *err);
void json_free(struct json *json);

static inline void cleanup_json(struct json **json)
{
	json_free(*json);
}
#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))

const struct json_value *json_root(const struct json *json);

/* The object's member of that name, or NULL. */
const struct json_value *json_member(const struct json_value *object, const char *name);

/* Is this string (or, of a member, this key) that one? */
bool json_is(const struct json_value *value, const char *string);
bool json_key_is(const struct json_value *value, const char *name);

/* A copy with a NUL behind it, to be freed; NULL: out of memory. */
char *json_strdup(const struct json_value *value);

/* A number's value; false where it is no integer (1.0 and 1e3 are none) or does not fit. */
bool json_int64(const struct json_value *value, int64_t *ret);

/* Room for a quoted excerpt of a value in messages. */
#define JSON_EXCERPT_MAX 100

/* The value's bytes in quotes, escaped, cut where they are long. Returns buf. */
const char *json_excerpt(const struct json_value *value, char buf[JSON_EXCERPT_MAX]);

/* Puts "FILE:LINE:COLUMN: path.to.key: MESSAGE" into err; the position is the value's, or its key's. Returns -EINVAL.
 */
int json_complain(const struct json *json, const struct json_value *value, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int json_complain_key(const struct json *json, const struct json_value *value, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Are all of an array's or object's values of this kind? 0, or json_complain() at the first that is not. */
int json_check_elements(
	const struct json *json, const struct json_value *array, enum json_kind kind, struct error *err);

struct json_choice {
	const char *word;
	uint32_t value;
};

/* A key that an object may have, and what becomes of its value. */
struct json_key {
	const char *name;
	enum json_kind kind;
	/* Called with a value of that kind; NULL: the type is all that is asked for. Returns 0 or json_complain(). */
	int (*read)(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
		struct error *err);
	const char *expected; /* for messages, "an array of strings"; NULL: made up from kind, min and max */
	size_t offset;        /* of the field in into, for the readers below */
	int64_t min, max;
	const struct json_choice *choices; /* ended by a word of NULL */
	bool required;
	bool null_is_absent;
};

/* Readers. Numbers within min..max to uint32_t or uint16_t, booleans to bool, choices to uint32_t or an enum. */
int json_read_u32(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err);
int json_read_u16(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err);
int json_read_bool(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err);
int json_read_choice(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err);

/* Keys that are not in the table: */
enum json_unknown {
	JSON_UNKNOWN_REFUSED, /* an error that names the key that was probably meant */
	JSON_UNKNOWN_PASSES,
	JSON_UNKNOWN_UNLIKE, /* passes, unless a reader who does not mind the case, as runc's, takes it for one of them */
};

/* Reads an object's members, in their order, by a table of keys that ends with a name of NULL. */
int json_read_object(const struct json *json, const struct json_value *object, const struct json_key *keys,
	enum json_unknown unknown, void *into, struct error *err);

/* The error for a member whose key nobody knows: the one of keys that was probably meant, or all of them. */
int json_complain_unknown(
	const struct json *json, const struct json_value *member, const struct json_key *keys, struct error *err);
