/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static int parse(const char *text, size_t len, bool comments, struct json **ret, struct error *err)
{
	static char *last; /* the tree points into it */
	free(last);
	last = copy_of(text, len);
	return json_parse("F", last, len, comments, ret, err);
}

static void expect_bad(const char *text, size_t len, bool comments, const char *message)
{
	struct json *json = NULL;
	struct error err = { 0 };
	int r = parse(text, len, comments, &json, &err);
	if (r != -EINVAL)
		fail_msg("%s: accepted, expected: %s", text, message);
	assert_null(json);
	assert_message(&err, message);
}

static struct json *expect_good(const char *text, bool comments)
{
	struct json *json = NULL;
	struct error err = { 0 };
	if (parse(text, strlen(text), comments, &json, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return json;
}

#define BAD(text, message)                      \
	{                                       \
		text, sizeof(text) - 1, message \
	}

static void test_refused(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		size_t len;
		const char *message;
	} rows[] = {
		BAD("", "F:1:1: is empty, expected an object"),
		BAD(" \n\t\r\n ", "F:3:2: is empty, expected an object"),
		BAD("[]", "F:1:1: is no object, expected {"),
		BAD("\n 17", "F:2:2: is no object, expected {"),
		BAD("\"x\"", "F:1:1: is no object, expected {"),
		BAD("null", "F:1:1: is no object, expected {"),
		BAD("{", "F:1:2: not JSON: premature EOF"),
		BAD("{\"a\":1", "F:1:7: not JSON: premature EOF"),
		BAD("{\"a\":1,}", "F:1:8: not JSON: invalid object key (must be a string)"),
		BAD("{\"a\":1,,}", "F:1:8: not JSON: invalid object key (must be a string)"),
		BAD("{\"a\":\n04}", "F:2:2: not JSON: after key and value, inside map, I expect ',' or '}'"),
		BAD("{\"a\":1 /* b */}",
			"F:1:8: not JSON: probable comment found in input text, comments are not enabled."),
		BAD("{\"a\"::1}", "F:1:6: not JSON: unallowed token at this point in JSON text"),
		BAD("{\"a\":1}x", "F:1:8: not JSON: trailing garbage"),
		BAD("{\"a\":1}{}", "F:1:8: not JSON: trailing garbage"),
		BAD("{\"a\":1} /* b */", "F:1:9: not JSON: trailing garbage"),
		BAD("{\"a\":1} // b", "F:1:9: not JSON: trailing garbage"),
		BAD("\xef\xbb\xbf{}", "F:1:1: not JSON: invalid char in json text."),
		BAD("{\"a\":\f1}", "F:1:6: control byte 0x0c, expected JSON text"),
		BAD("{\"a\0\":1}", "F:1:4: control byte 0x00, expected JSON text"),
		BAD("{\"a\":\"\x01\"}", "F:1:7: control byte 0x01, expected JSON text"),
		BAD("{}\0", "F:1:3: control byte 0x00, expected JSON text"),
		/* UTF-8: a stray byte, cut, long forms, a surrogate, past U+10FFFF */
		BAD("{\"a\":\"\x80\"}", "F:1:7: byte 0x80 is not UTF-8, expected JSON text"),
		BAD("{\"a\":\"\xe2\x82\"}", "F:1:7: byte 0xe2 is not UTF-8, expected JSON text"),
		BAD("{\"\xc3", "F:1:3: byte 0xc3 is not UTF-8, expected JSON text"),
		BAD("{\"\xc0\xaf\":1}", "F:1:3: byte 0xc0 is not UTF-8, expected JSON text"),
		BAD("{\"\xe0\x80\xaf\":1}", "F:1:3: byte 0xe0 is not UTF-8, expected JSON text"),
		BAD("{\"\xf0\x80\x80\xaf\":1}", "F:1:3: byte 0xf0 is not UTF-8, expected JSON text"),
		BAD("{\"\xed\xa0\x80\":1}", "F:1:3: byte 0xed is not UTF-8, expected JSON text"),
		BAD("{\"\xf4\x90\x80\x80\":1}", "F:1:3: byte 0xf4 is not UTF-8, expected JSON text"),
		/* escapes */
		BAD("{\"a\":\"b\\u0000\"}", "F:1:6: \\u0000 in a string, expected text without NUL"),
		BAD("{\"a\\u0000\":1}", "F:1:2: \\u0000 in a string, expected text without NUL"),
		BAD("{\"a\":\"\\ud800\"}", "F:1:6: lone surrogate in a string, expected text"),
		BAD("{\"a\":\"\\ud800\\u0041\"}", "F:1:6: lone surrogate in a string, expected text"),
		BAD("{\"a\":\"\\udc00x\"}", "F:1:6: lone surrogate in a string, expected text"),
		BAD("{\"a\":\"\\ud83d\\\\ude00\"}", "F:1:6: lone surrogate in a string, expected text"),
		/* the same key, whatever it is written as */
		BAD("{\"a\":1,\n \"a\":2}", "F:2:2: a: is there twice, expected once"),
		BAD("{\"ab\":1, \"\\u0061b\":2}", "F:1:10: ab: is there twice, expected once"),
		BAD("{\"x\":{\"b\":1,\"c\":1,\"b\":1}}", "F:1:19: x.b: is there twice, expected once"),
		BAD("{\"\":1,\"\":1}", "F:1:7: : is there twice, expected once"),
		BAD("{\"\x1b[31m\":1}", "F:1:3: control byte 0x1b, expected JSON text"),
		BAD("{\"\\u001b\":1,\"\\u001b\":1}", "F:1:13: \\x1b: is there twice, expected once"),
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_bad(rows[i].text, rows[i].len, false, rows[i].message);
}

static void test_comments(void **state)
{
	(void) state;
	json_free(expect_good("// a\n{/*b*/\"a\"/**/:/* // */1// }\n}// no line end", true));
	json_free(expect_good("{\"a\": \"// no comment /* neither\"}", false));
	expect_bad("{} /* open", 10, true, "F:1:4: more behind the object, expected its end");
	expect_bad("/* open", 7, true, "F:1:1: not JSON: premature EOF");
	expect_bad("// only", 7, true, "F:1:8: is empty, expected an object");
	expect_bad("{}/", 3, true, "F:1:3: not JSON: trailing garbage");
	expect_bad("{/*\xff*/}", 7, true, "F:1:4: byte 0xff is not UTF-8, expected JSON text");
}

static void expect_position(const struct json *json, const struct json_value *value, bool key, const char *where)
{
	struct error err = { 0 };
	assert_int_equal((key ? json_complain_key : json_complain)(json, value, &err, "here"), -EINVAL);
	assert_message(&err, where);
}

static void test_positions(void **state)
{
	(void) state;
	_cleanup_json_ struct json *json =
		expect_good("// one\n"
			    "{\n"
			    "\t\"a\" /* two\n lines */ : [ 1, \"\xc3\xa4\" ,{\"b\":null}],\n"
			    "  /* \xe2\x82\xac */ \"\xc3\xbc\":\"x\",\"n\":-1.5e3 , \"t\":true\n"
			    "  ,\"e\\n\" : {} }\n",
			true);
	const struct json_value *a = json_root(json)->first, *u = a->next, *n = u->next, *t = n->next, *e = t->next;
	expect_position(json, json_root(json), false, "F:2:1: here");
	expect_position(json, a, true, "F:3:2: a: here");
	expect_position(json, a, false, "F:4:13: a: here");
	expect_position(json, a->first, false, "F:4:15: a[0]: here");
	expect_position(json, a->first->next, false, "F:4:18: a[1]: here");
	expect_position(json, a->first->next->next, false, "F:4:24: a[2]: here");
	expect_position(json, a->first->next->next->first, true, "F:4:25: a[2].b: here");
	expect_position(json, a->first->next->next->first, false, "F:4:29: a[2].b: here");
	expect_position(json, u, true, "F:5:13: \\xc3\\xbc: here");
	expect_position(json, u, false, "F:5:18: \\xc3\\xbc: here");
	expect_position(json, n, false, "F:5:26: n: here");
	expect_position(json, t, false, "F:5:39: t: here");
	expect_position(json, e, true, "F:6:4: e\\x0a: here");
	expect_position(json, e, false, "F:6:12: e\\x0a: here");
	assert_int_equal(a->first->line, 4);
	assert_int_equal(t->line, 5);
	assert_int_equal(e->line, 6);
}

static void test_values(void **state)
{
	(void) state;
	_cleanup_json_ struct json *json = expect_good(
		"{\"s\":\"a\\u0062\\ud83d\\ude00\\n\\\\\",\"n\":null,\"t\":true,\"f\":false,\"e\":[],\"o\":{}}", false);
	const struct json_value *root = json_root(json), *s = json_member(root, "s");
	assert_true(json_is(s, "ab\xf0\x9f\x98\x80\n\\"));
	assert_false(json_is(s, "ab"));
	_cleanup_free_ char *copy = json_strdup(s);
	assert_string_equal(copy, "ab\xf0\x9f\x98\x80\n\\");
	assert_int_equal(json_member(root, "n")->kind, JSON_NULL);
	assert_int_equal(json_member(root, "t")->len, 1);
	assert_int_equal(json_member(root, "f")->len, 0);
	assert_null(json_member(root, "e")->first);
	assert_int_equal(json_member(root, "o")->kind, JSON_OBJECT);
	assert_int_equal(root->len, 6);
	assert_null(json_member(root, "x"));
}

static void test_integers(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "4294967296", true, 4294967296 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "18446744073709551617", false, 0 },
		{ "100000000000000000000000000000000000000001", false, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "-1E+2", false, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[80];
		(void) snprintf(text, sizeof(text), "{\"n\":%s}", rows[i].text);
		_cleanup_json_ struct json *json = expect_good(text, false);
		int64_t value = 77;
		assert_int_equal(json_int64(json_root(json)->first, &value), rows[i].good);
		assert_true(value == (rows[i].good ? rows[i].value : 77));
	}
}

/* {"a":[[[...]]]}, levels in all */
static void nest(char *text, size_t levels)
{
	strcpy(text, "{\"a\":");
	memset(text + 5, '[', levels - 1);
	memset(text + 5 + levels - 1, ']', levels - 1);
	strcpy(text + 5 + 2 * (levels - 1), "}");
}

static void test_depth(void **state)
{
	(void) state;
	char text[1024];
	nest(text, JSON_DEPTH_MAX);
	json_free(expect_good(text, false));
	nest(text, JSON_DEPTH_MAX + 1);
	expect_bad(text, strlen(text), false, "F:1:37: nested too deep, expected at most 32 levels");

	size_t len = 1 << 20;
	_cleanup_free_ char *deep = malloc(len);
	memset(deep, '[', len);
	memcpy(deep, "{\"a\":", 5);
	expect_bad(deep, len, false, "F:1:37: nested too deep, expected at most 32 levels");
}

static void test_number_of_values(void **state)
{
	(void) state;
	size_t len = 2 * (JSON_VALUES_MAX + 8);
	_cleanup_free_ char *text = malloc(len);
	for (size_t i = 0; i < len; i += 2)
		memcpy(text + i, "0,", 2);
	memcpy(text, "{\"a\":[", 6);
	memcpy(text + len - 3, "0]}", 3);
	char message[100];
	(void) snprintf(message, sizeof(message), "F:1:%u: too long, expected at most %u values",
		2 * (JSON_VALUES_MAX - 2) + 7, JSON_VALUES_MAX);
	expect_bad(text, len, false, message);
}

struct numbers {
	uint32_t count;
	uint16_t port;
	bool on;
	uint32_t choice;
};

static int read_numbers(const char *text, enum json_unknown unknown, struct numbers *into, struct error *err)
{
	static const struct json_choice choices[] = { { "one", 1 }, { "two", 2 }, { NULL, 0 } };
	static const struct json_key keys[] = {
		{ .name = "count",
			.kind = JSON_NUMBER,
			.read = json_read_u32,
			.offset = offsetof(struct numbers, count),
			.min = 5,
			.max = 4000000000 },
		{ .name = "port",
			.kind = JSON_NUMBER,
			.read = json_read_u16,
			.offset = offsetof(struct numbers, port),
			.min = 1,
			.max = 65535,
			.required = true },
		{ .name = "on", .kind = JSON_BOOL, .read = json_read_bool, .offset = offsetof(struct numbers, on) },
		{ .name = "choice",
			.kind = JSON_STRING,
			.read = json_read_choice,
			.offset = offsetof(struct numbers, choice),
			.choices = choices },
		{ .name = "list", .kind = JSON_ARRAY, .null_is_absent = true },
		{ .name = NULL },
	};
	struct json *json = expect_good(text, false);
	int r = json_read_object(json, json_root(json), keys, unknown, into, err);
	json_free(json);
	return r;
}

static void test_object_by_table(void **state)
{
	(void) state;
	struct numbers n = { 0 };
	struct error err = { 0 };
	assert_int_equal(
		read_numbers("{\"count\":4000000000,\"port\":65535,\"on\":true,\"choice\":\"two\",\"list\":null}",
			JSON_UNKNOWN_REFUSED, &n, &err),
		0);
	assert_true(n.count == 4000000000 && n.port == 65535 && n.on && n.choice == 2);
	assert_int_equal(read_numbers("{\"port\":1,\"xyz\":{}}", JSON_UNKNOWN_PASSES, &n, &err), 0);

	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "{}", "F:1:1: port: is missing, expected an integer from 1 to 65535" },
		{ "{\"port\":0}", "F:1:9: port: is 0, expected an integer from 1 to 65535" },
		{ "{\"port\":65536}", "F:1:9: port: is 65536, expected an integer from 1 to 65535" },
		{ "{\"port\":65537.0}", "F:1:9: port: is 65537.0, expected an integer from 1 to 65535" },
		{ "{\"port\":-1}", "F:1:9: port: is -1, expected an integer from 1 to 65535" },
		{ "{\"port\":\"1\"}", "F:1:9: port: is a string, expected an integer from 1 to 65535" },
		{ "{\"port\":null}", "F:1:9: port: is null, expected an integer from 1 to 65535" },
		{ "{\"count\":4294967301}", "F:1:10: count: is 4294967301, expected an integer from 5 to 4000000000" },
		{ "{\"count\":18446744073709551621}",
			"F:1:10: count: is 18446744073709551621, expected an integer from 5 to 4000000000" },
		{ "{\"count\":1111111111111111111111111111111111}",
			"F:1:10: count: is 11111111111111111111111111111111..., expected an integer from 5 to "
			"4000000000" },
		{ "{\"on\":1}", "F:1:7: on: is a number, expected true or false" },
		{ "{\"choice\":\"three\\u001b\"}", "F:1:11: choice: is \"three\\x1b\", expected \"one\" or \"two\"" },
		{ "{\"list\":{}}", "F:1:9: list: is an object, expected an array" },
		{ "{\"cuont\":1}", "F:1:2: cuont: unknown key, did you mean \"count\"?" },
		{ "{\"prt\":1}", "F:1:2: prt: unknown key, did you mean \"port\"?" },
		{ "{\"choicexx\":1}", "F:1:2: choicexx: unknown key, did you mean \"choice\"?" },
		{ "{\"choicexxx\":1}",
			"F:1:2: choicexxx: unknown key, expected one of: count, port, on, choice, list" },
		{ "{\"no\":1}", "F:1:2: no: unknown key, expected one of: count, port, on, choice, list" },
		{ "{\"\":1}", "F:1:2: : unknown key, expected one of: count, port, on, choice, list" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		err = (struct error){ 0 };
		assert_int_equal(read_numbers(rows[i].text, JSON_UNKNOWN_REFUSED, &n, &err), -EINVAL);
		assert_message(&err, rows[i].message);
	}
}

/* The reason must not be lost behind what a stranger made long. */
static void test_long_names(void **state)
{
	(void) state;
	char file[5000], text[4100], key[2000];
	memset(file, 'f', sizeof(file) - 1);
	file[sizeof(file) - 1] = '\0';
	memset(key, 0x7f, sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	(void) snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", key, key);
	struct json *json = NULL;
	struct error err = { 0 };
	assert_int_equal(json_parse(file, text, strlen(text), false, &json, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "fff:1:2006: \\x7f"));
	assert_non_null(strstr(err.msg, "...: is there twice, expected once"));
	assert_int_equal(json_parse("F", text, strlen(text), false, &json, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_number_of_values),
		cmocka_unit_test(test_object_by_table),
		cmocka_unit_test(test_long_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
