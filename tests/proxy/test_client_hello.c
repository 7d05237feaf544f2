/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proxy/client_hello.h"
#include "tests/base/guard.h"

#define BYTES(literal) (const uint8_t *) literal, sizeof(literal) - 1
#define NO_NAME NULL

struct bytes {
	size_t len;
	uint8_t at[2 * CLIENT_HELLO_MAX];
};

static void add(struct bytes *bytes, const void *from, size_t len)
{
	assert_true(len <= sizeof(bytes->at) - bytes->len);
	if (len > 0)
		memcpy(bytes->at + bytes->len, from, len);
	bytes->len += len;
}

static void add_number(struct bytes *bytes, size_t number, size_t len)
{
	while (len-- > 0)
		add(bytes, &(uint8_t){ (uint8_t) (number >> 8 * len) }, 1);
}

/* A hello with these extensions; NULL: it has no place for any. */
static void make_message(struct bytes *ret, const uint8_t *extensions, size_t len)
{
	struct bytes body = { 0 };
	add(&body, "\3\3", 2);
	add(&body, "random-random-random-random-rand", 32);
	add(&body, "\4sess\0\4\x13\1\xc0\x2f\1\0", 13);
	if (extensions) {
		add_number(&body, len, 2);
		add(&body, extensions, len);
	}
	ret->len = 0;
	add_number(ret, 1, 1);
	add_number(ret, body.len, 3);
	add(ret, body.at, body.len);
}

/* In records of at most so many bytes of content. */
static void make_records(struct bytes *ret, const struct bytes *message, size_t content)
{
	ret->len = 0;
	for (size_t at = 0; at < message->len;) {
		size_t n = message->len - at < content ? message->len - at : content;
		add(ret, "\x16\3\1", 3);
		add_number(ret, n, 2);
		add(ret, message->at + at, n);
		at += n;
	}
}

static void make_hello(struct bytes *ret, const uint8_t *extensions, size_t len, size_t content)
{
	struct bytes message;
	make_message(&message, extensions, len);
	make_records(ret, &message, content);
}

static enum parse_result parse(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	memset(ret, 0xa5, sizeof(*ret));
	return client_hello_parse((const uint8_t *) guarded((const char *) bytes, len), len, ret);
}

/*
 * Piece by piece: MORE up to the byte that decides, the one that MORE has said to wait for, and the same ever after.
 * Returns which.
 */
static size_t check(const uint8_t *bytes, size_t len, enum parse_result result, int kind, const char *name)
{
	struct client_hello hello;
	size_t decides = 0, need = 1;
	for (size_t n = 0; n <= len; n++) {
		enum parse_result got = parse(bytes, n, &hello);
		if (got == PARSE_MORE) {
			assert_int_equal(decides, 0);
			assert_true(hello.need > n && hello.need <= CLIENT_HELLO_MAX);
			assert_true(n < need ? hello.need == need : hello.need > need);
			need = hello.need;
			continue;
		}
		if (decides == 0) {
			decides = n;
			/* what passes may have nothing more to come */
			assert_true(result == PARSE_DONE ? n == need : n <= need);
		}
		assert_int_equal(got, result);
		if (result != PARSE_DONE)
			continue;
		assert_int_equal(hello.kind, kind);
		if (!name)
			continue;
		assert_int_equal(hello.name_len, strlen(name));
		assert_memory_equal(hello.name, name, strlen(name));
	}
	if (result == PARSE_MORE)
		assert_int_equal(decides, 0);
	else
		assert_int_not_equal(decides, 0);
	return decides;
}

static const uint8_t named[] = "\0\0\0\x0e\0\x0c\0\0\x09"
			       "a.example"
			       "\0\x2b\0\5\4\3\4\3\3";
#define NAMED named, sizeof(named) - 1

static void test_named(void **state)
{
	(void) state;
	static const size_t contents[] = { 16384, 80, 9, 5, 4, 3, 2, 1 };
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		struct bytes hello;
		make_hello(&hello, NAMED, contents[i]);
		size_t decides = check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_NAMED, "a.example");
		assert_int_equal(decides, hello.len);
		/* what follows is no part of it */
		add(&hello, "\x14\3\3\0\1\1 and more", 15);
		assert_int_equal(check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_NAMED, "a.example"), decides);
	}
}

static void test_record_versions(void **state)
{
	(void) state;
	for (unsigned major = 0; major < 256; major++) {
		struct bytes hello;
		make_hello(&hello, NAMED, 50);
		hello.at[1] = (uint8_t) major;
		bool known = major < 16;
		check(hello.at, hello.len, PARSE_DONE, known ? CLIENT_HELLO_NAMED : CLIENT_HELLO_NONE,
			known ? "a.example" : NO_NAME);
		hello.at[1] = 3;
		hello.at[2] = (uint8_t) major;
		check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_NAMED, "a.example");
	}
}

/* GREASE (RFC 8701), ECH's outer hello, padding: nothing that anybody looks into. */
static void test_other_extensions(void **state)
{
	(void) state;
	struct bytes extensions = { 0 }, hello;
	add(&extensions, "\x0a\x0a\0\0\xfe\x0d\0\3abc", 11);
	add(&extensions, NAMED);
	add(&extensions, "\xfa\xfa\0\1\0\0\x15\0\4\0\0\0\0", 13);
	make_hello(&hello, extensions.at, extensions.len, 16384);
	check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_NAMED, "a.example");
}

static void test_unnamed(void **state)
{
	(void) state;
	struct bytes hello;
	make_hello(&hello, NULL, 0, 16384);
	check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME);
	make_hello(&hello, BYTES(""), 16384);
	check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME);
	make_hello(&hello, BYTES("\0\x0a\0\4\0\2\0\x1d"), 16384);
	check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME);
}

static void test_names_as_they_come(void **state)
{
	(void) state;
	struct bytes hello;
	struct client_hello got;
	make_hello(&hello, BYTES("\0\0\0\x09\0\7\0\0\4a\0\n\xff"), 16384);
	assert_int_equal(parse(hello.at, hello.len, &got), PARSE_DONE);
	assert_int_equal(got.name_len, 4);
	assert_memory_equal(got.name, "a\0\n\xff", 4);

	for (size_t n = CLIENT_HELLO_NAME_MAX - 1; n <= 600; n++) {
		struct bytes extensions = { 0 };
		add_number(&extensions, 0, 2);
		add_number(&extensions, n + 5, 2);
		add_number(&extensions, n + 3, 2);
		add_number(&extensions, 0, 1);
		add_number(&extensions, n, 2);
		for (size_t i = 0; i < n; i++)
			add_number(&extensions, 'a', 1);
		make_hello(&hello, extensions.at, extensions.len, 300);
		assert_int_equal(parse(hello.at, hello.len, &got), n <= CLIENT_HELLO_NAME_MAX ? PARSE_DONE : PARSE_BAD);
	}
}

static const struct {
	const uint8_t *extensions;
	size_t len;
} broken[] = {
	{ BYTES("\0\0\0\0") },                               /* an empty extension */
	{ BYTES("\0\0\0\2\0\0") },                           /* an empty list */
	{ BYTES("\0\0\0\5\0\3\0\0\0") },                     /* an empty name */
	{ BYTES("\0\0\0\6\0\4\1\0\1a") },                    /* a name of another type */
	{ BYTES("\0\0\0\x0a\0\x08\1\0\1x\0\0\1a") },         /* and a host behind it */
	{ BYTES("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b") },         /* two hosts */
	{ BYTES("\0\0\0\6\0\4\0\0\1a\0\0\0\6\0\4\0\0\1a") }, /* the extension twice */
	{ BYTES("\0\0\0\7\0\4\0\0\1a!") },                   /* more than the list in it */
	{ BYTES("\0\0\0\7\0\5\0\0\1a!") },                   /* more than the name in it */
	{ BYTES("\0\0\0\6\0\5\0\0\1a") },                    /* a list that is longer than its extension */
	{ BYTES("\0\0\0\6\0\4\0\0\2a") },                    /* a name that is longer than its list */
	{ BYTES("\0\0\0\6\0\4\0\xff\xffz") },                /* much longer */
	{ BYTES("\0\0\0\7\0\4\0\0\1a") },                    /* an extension that is longer than all of them */
	{ BYTES("\0\x0a\0") },                               /* the beginning of one */
};

static void test_broken(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		for (size_t content = 1; content < 300; content += 149) {
			struct bytes hello;
			make_hello(&hello, broken[i].extensions, broken[i].len, content);
			check(hello.at, hello.len, PARSE_BAD, 0, NO_NAME);
			/* nor is it anything else for a version that servers do not look at */
			hello.at[1] = 0;
			check(hello.at, hello.len, PARSE_BAD, 0, NO_NAME);
		}
}

/* Every length in it made larger or smaller: nothing is read that is not there. */
static void test_lengths(void **state)
{
	(void) state;
	struct bytes hello;
	struct client_hello got;
	make_hello(&hello, NAMED, 16384);
	for (size_t i = 0; i < hello.len; i++)
		for (int delta = -2; delta <= 2; delta++) {
			struct bytes other = hello;
			other.at[i] = (uint8_t) (other.at[i] + delta);
			for (size_t n = 0; n <= other.len; n++)
				(void) parse(other.at, n, &got);
		}
}

static void test_no_tls(void **state)
{
	(void) state;
	assert_int_equal(check(BYTES("GET / HTTP/1.1\r\n\r\n"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 1);
	assert_int_equal(check(BYTES("SSH-2.0-x\r\n"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 1);
	assert_int_equal(check(BYTES("\0\0\0\x08\4\xd2\x16\x2f"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 1);
	assert_int_equal(check(BYTES("\x16\x10\1\0"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 2);
	assert_int_equal(check(BYTES("\x16\0\0\0\x05\x02"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 6);
	assert_int_equal(check(BYTES("\x16\0\0\xff\xff\1\0"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 5);
	assert_int_equal(check(BYTES("\x15\1\0\0\x09"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 5);
	assert_int_equal(check(BYTES("\x17\1"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 2);
	assert_int_equal(check(BYTES("\xf9\xbe\xb4\xd9"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 3);
	assert_int_equal(check(BYTES("\x82\x85\1\x11\3zz"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 5);
}

static void test_other_records(void **state)
{
	(void) state;
	check(BYTES("\x15\3\1\0\2\1\x5a\x16\3\1"), PARSE_BAD, 0, NO_NAME);
	check(BYTES("\x15\0\0\0\2\1\x5a\x16\3\1"), PARSE_BAD, 0, NO_NAME);
	check(BYTES("\x14\3\3\0\1\1\x16\3\1"), PARSE_BAD, 0, NO_NAME);
	check(BYTES("\x17\3\3\0\5hello"), PARSE_BAD, 0, NO_NAME);
	check(BYTES("\x16\3\1\x40\1\1"), PARSE_BAD, 0, NO_NAME);
	check(BYTES("\x16\3\1\0\4\0\0\0\0"), PARSE_BAD, 0, NO_NAME);             /* HelloRequest */
	check(BYTES("\x16\3\1\0\1\1\x15\3\1\0\2\1\x5a"), PARSE_BAD, 0, NO_NAME); /* an alert inside */
	check(BYTES("\x16\1\1\0\1\1\x15\1\1\0\2\1\x5a"), PARSE_BAD, 0, NO_NAME);
}

static void test_empty_records(void **state)
{
	(void) state;
	struct bytes message, records, hello = { 0 };
	make_message(&message, NAMED);
	make_records(&records, &message, 16384);
	add(&hello, "\x16\3\1\0\0\x16\3\1\0\0", 10);
	add(&hello, records.at, 5);
	hello.at[hello.len - 1] = 2;
	add(&hello, message.at, 2);
	add(&hello, "\x16\3\1\0\0\x16\3\1\0", 9);
	add_number(&hello, message.len - 2, 1);
	add(&hello, message.at + 2, message.len - 2);
	check(hello.at, hello.len, PARSE_DONE, CLIENT_HELLO_NAMED, "a.example");
}

static void test_ssl2(void **state)
{
	(void) state;
	assert_int_equal(check(BYTES("\x80\x2e\1\0\2\0\x15\0\0\0\x10"), PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME), 5);
	assert_int_equal(check(BYTES("\x80\x2e\1\3\1\0\x15\0\0\0\x10"), PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME), 5);
	assert_int_equal(check(BYTES("\xff\xff\1\3\3\0\x15\0\0\0\x10"), PARSE_DONE, CLIENT_HELLO_UNNAMED, NO_NAME), 5);
	assert_int_equal(check(BYTES("\x80\x2e\1\0\3\0"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 5);
	assert_int_equal(check(BYTES("\x80\x2e\4\0\2\0"), PARSE_DONE, CLIENT_HELLO_NONE, NO_NAME), 3);
}

/* Longer than the guarded page: on the heap, whose end the sanitizer guards. */
static enum parse_result parse_large(const struct bytes *hello, size_t len, struct client_hello *ret)
{
	_cleanup_free_ uint8_t *exact = malloc(len);
	assert_non_null(exact);
	memcpy(exact, hello->at, len);
	return client_hello_parse(exact, len, ret);
}

static void pad(struct bytes *extensions, size_t len)
{
	add_number(extensions, 21, 2);
	add_number(extensions, len, 2);
	for (size_t i = 0; i < len; i++)
		add_number(extensions, 0, 1);
}

static void test_large(void **state)
{
	(void) state;
	static const size_t paddings[] = { 1700, 16000, 30000 };
	for (size_t i = 0; i < ARRAY_SIZE(paddings); i++) {
		struct bytes extensions = { 0 }, hello;
		struct client_hello got;
		pad(&extensions, paddings[i]);
		add(&extensions, NAMED);
		make_hello(&hello, extensions.at, extensions.len, 16384);
		assert_true(hello.len < CLIENT_HELLO_MAX);
		assert_int_equal(parse_large(&hello, hello.len, &got), PARSE_DONE);
		assert_int_equal(got.kind, CLIENT_HELLO_NAMED);
		assert_memory_equal(got.name, "a.example", 9);
		size_t looks = 0;
		for (size_t n = 1; n < hello.len; n = got.need, looks++)
			assert_int_equal(parse_large(&hello, n, &got), PARSE_MORE);
		assert_in_range(looks, 1, 8); /* three for a header, two for the message's, the record, and once more */
	}
}

/* One that would be longer is refused as soon as it says so; one in too many pieces, when the bound is reached. */
static void test_too_large(void **state)
{
	(void) state;
	struct client_hello got;
	assert_int_equal(check(BYTES("\x16\3\1\1\0\1\xff\xff\xff\3\3"), PARSE_BAD, 0, NO_NAME), 9);

	struct bytes extensions = { 0 }, message;
	static struct bytes hello;
	pad(&extensions, 6000);
	make_message(&message, extensions.at, extensions.len);
	make_records(&hello, &message, 1);
	assert_true(hello.len > CLIENT_HELLO_MAX);
	size_t n = 1;
	while (parse_large(&hello, n, &got) == PARSE_MORE) {
		assert_true(got.need > n && got.need <= CLIENT_HELLO_MAX);
		n = got.need;
	}
	assert_int_equal(parse_large(&hello, n, &got), PARSE_BAD);
	assert_in_range(n, CLIENT_HELLO_MAX - 10, CLIENT_HELLO_MAX);

	hello.len = 0;
	while (hello.len < CLIENT_HELLO_MAX)
		add(&hello, "\x16\3\1\0\0", 5);
	assert_int_equal(parse_large(&hello, CLIENT_HELLO_MAX, &got), PARSE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_record_versions),
		cmocka_unit_test(test_other_extensions),
		cmocka_unit_test(test_unnamed),
		cmocka_unit_test(test_names_as_they_come),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_other_records),
		cmocka_unit_test(test_empty_records),
		cmocka_unit_test(test_ssl2),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_too_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
