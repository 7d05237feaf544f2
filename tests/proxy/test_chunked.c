/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "base/cleanup.h"
#include "proxy/chunked.h"
#include "tests/base/guard.h"

#define LINE_BYTES_MAX 64

struct outcome {
	enum parse_result result;
	size_t used, len;
	char content[256];
};

/* piece 0: as many as are certain. */
static struct outcome decode(const char *bytes, size_t len, size_t piece)
{
	struct chunked chunked = { 0 };
	struct outcome ret = { .result = PARSE_MORE };
	while (ret.result == PARSE_MORE && ret.used < len) {
		size_t n = piece ? piece : (size_t) chunked_certain(&chunked), used, content;
		assert_true(n > 0);
		n = n < len - ret.used ? n : len - ret.used;
		char *buf = (char *) (uintptr_t) guarded(bytes + ret.used, n);
		ret.result = chunked_decode(&chunked, buf, n, LINE_BYTES_MAX, &used, &content);
		if (ret.result == PARSE_MORE || !piece)
			assert_true(ret.result == PARSE_BAD || used == n);
		memcpy(ret.content + ret.len, buf, content);
		ret.used += used;
		ret.len += content;
	}
	assert_int_equal(ret.result == PARSE_BAD, chunked.problem != NULL);
	assert_int_equal(ret.result == PARSE_DONE, chunked_certain(&chunked) == 0);
	return ret;
}

static struct outcome check(const char *bytes, size_t len)
{
	struct outcome at_once = decode(bytes, len, len ? len : 1);
	for (size_t piece = 0; piece < 9; piece++) {
		struct outcome other = decode(bytes, len, piece);
		assert_int_equal(other.result, at_once.result);
		assert_int_equal(other.used, at_once.used);
		assert_int_equal(other.len, at_once.len);
		assert_memory_equal(other.content, at_once.content, other.len);
	}
	return at_once;
}

#define ROW(text) text, sizeof(text) - 1

static void test_good(void **state)
{
	(void) state;
	static const struct {
		const char *bytes;
		size_t len;
		const char *content;
	} rows[] = {
		{ ROW("0\r\n\r\n"), "" },
		{ ROW("00000000\r\n\r\n"), "" },
		{ ROW("5\r\nhello\r\n0\r\n\r\n"), "hello" },
		{ ROW("00000005\r\nhello\r\n0\r\n\r\n"), "hello" },
		{ ROW("1\r\nh\r\n4;a\r\nello\r\n0;b=\"c;\\\x80\"\t\r\n\r\n"), "hello" },
		{ ROW("a\r\n0\r\n\r\n12345\r\n0\r\n\r\n"), "0\r\n\r\n12345" },
		{ ROW("A\r\n0123456789\r\n0\r\nX: y\r\nContent-Length:\r\n\r\n"), "0123456789" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128];
		memcpy(text, rows[i].bytes, rows[i].len);
		memcpy(text + rows[i].len, "GET", 3); /* what is behind it is not looked at */
		struct outcome outcome = check(text, rows[i].len + 3);
		assert_int_equal(outcome.result, PARSE_DONE);
		assert_int_equal(outcome.used, rows[i].len);
		assert_int_equal(outcome.len, strlen(rows[i].content));
		assert_memory_equal(outcome.content, rows[i].content, outcome.len);
		for (size_t len = 0; len < rows[i].len; len++)
			assert_int_equal(check(text, len).result, PARSE_MORE);
	}
}

/* No line is too long, but all extensions together have as many bytes as they may have, CRs among them. */
static void test_extensions_together(void **state)
{
	(void) state;
	char text[256] = "";
	for (size_t n = LINE_BYTES_MAX; n > 1; n -= 7)
		strcat(text, "1;234567\r\nx\r\n");
	strcat(text, "1;2");
	size_t len = strlen(text);
	assert_int_equal(check(text, len).result, PARSE_MORE);
	text[len] = '3';
	assert_int_equal(check(text, len + 1).result, PARSE_BAD);
	assert_int_equal(check(text, len + 1).used, len);
}

/* The last byte makes it BAD. */
static void test_bad(void **state)
{
	(void) state;
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ ROW("\r") },
		{ ROW("\n") },
		{ ROW(" ") },
		{ ROW("+") },
		{ ROW("-") },
		{ ROW("g") },
		{ ROW(";") },
		{ ROW("0x") },
		{ ROW("0_") },
		{ ROW("5 ") },
		{ ROW("5\t") },
		{ ROW("5\0") },
		{ ROW("5\n") },
		{ ROW("5\rh") },
		{ ROW("5;a\n") },
		{ ROW("5;a\0") },
		{ ROW("5;a\rb") },
		{ ROW("000000000") },
		{ ROW("100000005") },
		{ ROW("5\r\nhello0") },
		{ ROW("5\r\nhello\n") },
		{ ROW("5\r\nhello\rX") },
		{ ROW("5\r\nhello\r\n\r") },
		{ ROW("0\r\n ") },
		{ ROW("0\r\n:") },
		{ ROW("0\r\n\n") },
		{ ROW("0\r\n\rX") },
		{ ROW("0\r\nGET ") },
		{ ROW("0\r\nA: \n") },
		{ ROW("0\r\nA: b\rc") },
		{ ROW("0\r\nA: b\r\n ") },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcome outcome = check(rows[i].bytes, rows[i].len);
		assert_int_equal(outcome.result, PARSE_BAD);
		assert_int_equal(outcome.used, rows[i].len - 1);
		assert_int_equal(check(rows[i].bytes, rows[i].len - 1).result, PARSE_MORE);
	}
}

static void check_limit(const char *front, const char *end)
{
	char text[256];
	size_t len = strlen(front), fill = LINE_BYTES_MAX - (len < 3 ? len : len - strlen("0\r\n")) - strlen(end);
	memcpy(text, front, len);
	memset(text + len, 'x', fill);
	memcpy(text + len + fill, end, strlen(end) + 1);
	assert_int_not_equal(check(text, strlen(text)).result, PARSE_BAD);
	text[len + fill] = 'x';
	memcpy(text + len + fill + 1, end, strlen(end) + 1);
	assert_int_equal(check(text, strlen(text)).result, PARSE_BAD);
}

static void test_limits(void **state)
{
	(void) state;
	check_limit("5;", "\r\n");
	check_limit("0\r\nA:", "\r\n\r\n");
}

static void test_wrap(void **state)
{
	(void) state;
	char buf[CHUNKED_FRONT + 32 + CHUNKED_BEHIND];
	size_t len;
	static const struct {
		size_t n;
		bool last;
		const char *wanted;
	} rows[] = {
		{ 0, false, "" },
		{ 0, true, "0\r\n\r\n" },
		{ 3, false, "3\r\nabc\r\n" },
		{ 3, true, "3\r\nabc\r\n0\r\n\r\n" },
		{ 26, true, "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(buf + CHUNKED_FRONT, "abcdefghijklmnopqrstuvwxyz", 26);
		const char *chunk = chunked_wrap(buf + CHUNKED_FRONT, rows[i].n, rows[i].last, &len);
		assert_int_equal(len, strlen(rows[i].wanted));
		assert_memory_equal(chunk, rows[i].wanted, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_extensions_together),
		cmocka_unit_test(test_wrap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
