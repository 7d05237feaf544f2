/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Twice over the bytes: measure() walks the record headers until the message is known to be complete, which is cheap to
 * do again with each piece; then parse_message() reads it across them.
 */
#include "proxy/client_hello.h"

#include <stdbool.h>
#include <string.h>

#define RECORD_HEADER_LEN 5
#define RECORD_MAX (16 << 10) /* RFC 8446 section 5.1: 2^14 bytes of content */
#define MESSAGE_HEADER_LEN 4
#define RANDOM_LEN 32

enum { RECORD_CHANGE_CIPHER_SPEC = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_APPLICATION_DATA };
enum { MESSAGE_CLIENT_HELLO = 1 };
enum { EXTENSION_SERVER_NAME = 0 };
enum { NAME_HOST = 0 };

static enum parse_result more(struct client_hello *hello, size_t need)
{
	hello->need = need;
	return PARSE_MORE;
}

static enum parse_result done(struct client_hello *hello, enum client_hello_kind kind)
{
	hello->kind = kind;
	return PARSE_DONE;
}

/*
 * What the first bytes are, of which there is at least one. PARSE_MORE where they are a handshake record's so far,
 * PARSE_BAD for other records: some servers read over a warning alert in front of the hello.
 */
static enum parse_result classify(const uint8_t *bytes, size_t len, struct client_hello *hello)
{
	if (bytes[0] & 0x80) {
		/* SSL 2.0 (RFC 5246 appendix E.2): two bytes of length, CLIENT-HELLO, version. It has no extensions */
		if (len < 3)
			return more(hello, 3);
		if (bytes[2] != MESSAGE_CLIENT_HELLO)
			return done(hello, CLIENT_HELLO_NONE);
		if (len < 5)
			return more(hello, 5);
		bool known = bytes[3] == 3 || (bytes[3] == 0 && bytes[4] == 2);
		return done(hello, known ? CLIENT_HELLO_UNNAMED : CLIENT_HELLO_NONE);
	}
	if (bytes[0] < RECORD_CHANGE_CIPHER_SPEC || bytes[0] > RECORD_APPLICATION_DATA)
		return done(hello, CLIENT_HELLO_NONE);
	if (len < 2)
		return more(hello, 2);
	if (bytes[1] > 0x0f)
		return done(hello, CLIENT_HELLO_NONE);
	if (bytes[0] == RECORD_HANDSHAKE)
		return PARSE_MORE;
	if (bytes[1] == 3)
		return PARSE_BAD;
	static const uint8_t warning[] = { 0, 2, 1 }; /* two bytes, the first of which is the level */
	if (bytes[0] != RECORD_ALERT)
		return done(hello, CLIENT_HELLO_NONE);
	size_t n = len < 6 ? len : 6;
	if (n > 3 && memcmp(bytes + 3, warning, n - 3) != 0)
		return done(hello, CLIENT_HELLO_NONE);
	return n < 6 ? more(hello, len + 1) : PARSE_BAD;
}

/* Of a version that no TLS has, it may be anything. */
static enum parse_result no_hello(const uint8_t *bytes, struct client_hello *hello)
{
	return bytes[1] == 3 ? PARSE_BAD : done(hello, CLIENT_HELLO_NONE);
}

/*
 * Whether there are enough records for the whole message. *ret_wanted is its length as far as it is known, that of its
 * header to begin with.
 */
static enum parse_result measure(const uint8_t *bytes, size_t len, size_t *ret_wanted, struct client_hello *hello)
{
	uint8_t header[MESSAGE_HEADER_LEN];
	size_t at = 0, got = 0; /* of the records, and of the message */
	*ret_wanted = MESSAGE_HEADER_LEN;

	for (;;) {
		if (len > at && bytes[at] != RECORD_HANDSHAKE)
			return got > 0 ? PARSE_BAD : no_hello(bytes, hello);
		if (at + RECORD_HEADER_LEN >= CLIENT_HELLO_MAX)
			return PARSE_BAD;
		if (len < at + RECORD_HEADER_LEN)
			return more(hello, len > at ? at + RECORD_HEADER_LEN : at + 1);
		size_t content = (size_t) bytes[at + 3] << 8 | bytes[at + 4]; /* 0: there are servers that skip it */
		if (content > RECORD_MAX)
			return got > 0 ? PARSE_BAD : no_hello(bytes, hello);
		at += RECORD_HEADER_LEN;

		size_t here = len - at < content ? len - at : content;
		for (size_t i = 0; i < here && got + i < MESSAGE_HEADER_LEN; i++)
			header[got + i] = bytes[at + i];
		got += here;
		if (got > 0 && header[0] != MESSAGE_CLIENT_HELLO)
			return no_hello(bytes, hello);
		if (got >= MESSAGE_HEADER_LEN)
			*ret_wanted =
				MESSAGE_HEADER_LEN + ((size_t) header[1] << 16 | (size_t) header[2] << 8 | header[3]);
		if (*ret_wanted > CLIENT_HELLO_MAX)
			return PARSE_BAD;
		if (got >= *ret_wanted)
			return PARSE_DONE;
		if (here < content) {
			size_t rest = content - here, missing = got > 0 ? *ret_wanted - got : 1;
			size_t need = at + here + (rest < missing ? rest : missing);
			return need > CLIENT_HELLO_MAX ? PARSE_BAD : more(hello, need);
		}
		at += content;
	}
}

/* A place in the message, or in a vector of it, that skips the headers of records on the way. */
struct cursor {
	const uint8_t *at;
	size_t record; /* bytes left of the record */
	size_t left;   /* bytes left of the message or vector: nothing behind them is touched */
	bool failed;   /* something was not there; what was taken instead is 0 */
};

/* Takes n bytes to ret, or past them where ret is NULL. */
static void cursor_take(struct cursor *cursor, uint8_t *ret, size_t n)
{
	if (n > cursor->left) {
		cursor->failed = true;
		cursor->left = 0;
		return;
	}
	cursor->left -= n;
	while (n > 0) {
		if (cursor->record == 0) {
			cursor->record = (size_t) cursor->at[3] << 8 | cursor->at[4];
			cursor->at += RECORD_HEADER_LEN;
		}
		size_t part = n < cursor->record ? n : cursor->record;
		if (ret) {
			memcpy(ret, cursor->at, part);
			ret += part;
		}
		cursor->at += part;
		cursor->record -= part;
		n -= part;
	}
}

static size_t cursor_number(struct cursor *cursor, size_t n)
{
	uint8_t bytes[3] = { 0 };
	size_t number = 0;
	cursor_take(cursor, bytes, n);
	for (size_t i = 0; i < n; i++)
		number = number << 8 | bytes[i];
	return number;
}

/* The vector (RFC 8446 section 3.4) that starts here, with length_len bytes of length; the cursor goes behind it. */
static struct cursor cursor_vector(struct cursor *cursor, size_t length_len)
{
	size_t n = cursor_number(cursor, length_len);
	struct cursor vector = *cursor;
	cursor_take(cursor, NULL, n);
	vector.left = n;
	vector.failed = cursor->failed;
	if (vector.failed)
		vector.left = 0;
	return vector;
}

/* One host name and nothing else: of several, nobody knows which the server will read. */
static bool parse_server_name(struct cursor extension, struct client_hello *hello)
{
	struct cursor list = cursor_vector(&extension, 2);
	size_t type = cursor_number(&list, 1);
	struct cursor name = cursor_vector(&list, 2);
	if (extension.failed || extension.left > 0 || list.failed || list.left > 0 || type != NAME_HOST)
		return false;
	if (name.failed || name.left == 0 || name.left > CLIENT_HELLO_NAME_MAX)
		return false;
	hello->name_len = (uint8_t) name.left;
	cursor_take(&name, (uint8_t *) hello->name, name.left);
	return true;
}

static bool parse_extensions(struct cursor extensions, struct client_hello *hello)
{
	hello->kind = CLIENT_HELLO_UNNAMED;
	while (extensions.left > 0) {
		size_t type = cursor_number(&extensions, 2);
		struct cursor extension = cursor_vector(&extensions, 2);
		if (extensions.failed)
			return false;
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (hello->kind == CLIENT_HELLO_NAMED || !parse_server_name(extension, hello))
			return false; /* RFC 8446 section 4.2: not more than one of a type */
		hello->kind = CLIENT_HELLO_NAMED;
	}
	return !extensions.failed;
}

static bool parse_message(struct cursor message, struct client_hello *hello)
{
	cursor_take(&message, NULL, MESSAGE_HEADER_LEN);
	bool known = cursor_number(&message, 1) == 3; /* legacy_version */
	cursor_take(&message, NULL, 1 + RANDOM_LEN);
	(void) cursor_vector(&message, 1); /* legacy_session_id */
	(void) cursor_vector(&message, 2); /* cipher_suites */
	(void) cursor_vector(&message, 1); /* legacy_compression_methods */
	if (message.failed || !known)
		return false;
	hello->kind = CLIENT_HELLO_UNNAMED;
	if (message.left == 0)
		return true; /* before TLS 1.3 there need not be any */
	struct cursor extensions = cursor_vector(&message, 2);
	return !message.failed && message.left == 0 && parse_extensions(extensions, hello);
}

enum parse_result client_hello_parse(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	if (len == 0)
		return more(ret, 1);
	enum parse_result result = classify(bytes, len, ret);
	if (result != PARSE_MORE || bytes[0] != RECORD_HANDSHAKE || len < 2)
		return result;

	size_t wanted;
	ret->kind = CLIENT_HELLO_UNNAMED;
	result = measure(bytes, len, &wanted, ret);
	if (result != PARSE_DONE || ret->kind == CLIENT_HELLO_NONE)
		return result;
	return parse_message((struct cursor){ .at = bytes, .left = wanted }, ret) ? PARSE_DONE : PARSE_BAD;
}
