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
#include "proxy/socks.h"
#include "tests/base/guard.h"

struct greeting {
	enum parse_result result;
	size_t len;
	enum socks_method method;
};

static struct greeting greet(const char *bytes, size_t len)
{
	struct greeting greeting = { .method = SOCKS_NO_AUTHENTICATION };
	const uint8_t *buf = (const uint8_t *) guarded(bytes, len);
	greeting.result = socks_parse_greeting(buf, len, &greeting.len, &greeting.method);
	return greeting;
}

static void check_greeting(const char *bytes, size_t len, size_t used, enum socks_method method)
{
	for (size_t n = 0; n < used; n++)
		assert_int_equal(greet(bytes, n).result, PARSE_MORE);
	for (size_t n = used; n <= len; n++) {
		struct greeting greeting = greet(bytes, n);
		assert_int_equal(greeting.result, PARSE_DONE);
		assert_int_equal(greeting.len, used);
		assert_int_equal(greeting.method, method);
	}
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_greetings(void **state)
{
	(void) state;
	check_greeting(BYTES("\5\1\0"), 3, SOCKS_NO_AUTHENTICATION);
	check_greeting(BYTES("\5\3\2\1\0"), 5, SOCKS_NO_AUTHENTICATION);
	check_greeting(BYTES("\5\4\0\0\0\0"), 6, SOCKS_NO_AUTHENTICATION);
	check_greeting(BYTES("\5\1\0\5\1\0\3"), 3, SOCKS_NO_AUTHENTICATION);
	check_greeting(BYTES("\5\0"), 2, SOCKS_NO_ACCEPTABLE_METHODS);
	check_greeting(BYTES("\5\1\2\0"), 3, SOCKS_NO_ACCEPTABLE_METHODS); /* what follows is no method */
	check_greeting(BYTES("\5\2\1\2"), 4, SOCKS_NO_ACCEPTABLE_METHODS);
	check_greeting(BYTES("\5\1\xff"), 3, SOCKS_NO_ACCEPTABLE_METHODS);
	assert_int_equal(greet(BYTES("\4\1\0")).result, PARSE_BAD);

	char longest[SOCKS_GREETING_MAX];
	memset(longest, 0x80, sizeof(longest));
	longest[0] = SOCKS_VERSION;
	longest[1] = (char) 255;
	check_greeting(longest, sizeof(longest), sizeof(longest), SOCKS_NO_ACCEPTABLE_METHODS);
	longest[sizeof(longest) - 1] = 0;
	check_greeting(longest, sizeof(longest), sizeof(longest), SOCKS_NO_AUTHENTICATION);
}

static enum parse_result ask(const char *bytes, size_t len, struct socks_request *ret)
{
	*ret = (struct socks_request){ 0 };
	return socks_parse_request((const uint8_t *) guarded(bytes, len), len, ret);
}

struct request {
	const char *bytes;
	size_t len, used;
	const char *host;
	uint16_t port;
};

static const struct request requests[] = {
	{ BYTES("\5\1\0\3\7a.b.Com\1\xbb"), 14, "a.b.com", 443 },
	{ BYTES("\5\1\0\3\4a.b.\0\1tunnel"), 11, "a.b", 1 },
	{ BYTES("\5\1\0\3\x09"
		"127.0.0.1\xff\xff"),
		16, "127.0.0.1", 65535 },
	{ BYTES("\5\1\0\1\x7f\0\0\1\0\x50"), 10, "127.0.0.1", 80 },
	{ BYTES("\5\1\0\1\0\0\0\0\0\x50\5\1\0"), 10, "0.0.0.0", 80 },
	{ BYTES("\5\1\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb"), 22, "2001:db8::1", 443 },
	{ BYTES("\5\1\0\4\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1\1\xbb"), 22, "::ffff:127.0.0.1", 443 },
};

static void test_requests(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct request *wanted = &requests[i];
		struct socks_request request;
		for (size_t n = 0; n < wanted->used; n++)
			assert_int_equal(ask(wanted->bytes, n, &request), PARSE_MORE);
		for (size_t n = wanted->used; n <= wanted->len; n++) {
			assert_int_equal(ask(wanted->bytes, n, &request), PARSE_DONE);
			assert_int_equal(request.len, wanted->used);
			assert_string_equal(request.host.name, wanted->host);
			assert_int_equal(request.port, wanted->port);
		}
	}
}

/* An address and its text are one host: a rule for it holds for both. */
static void test_address_is_its_text(void **state)
{
	(void) state;
	struct socks_request name, address;
	assert_int_equal(ask(requests[2].bytes, requests[2].used, &name), PARSE_DONE);
	assert_int_equal(ask(requests[3].bytes, requests[3].used, &address), PARSE_DONE);
	assert_int_equal(name.host.kind, HOST_ADDRESS);
	assert_true(host_equal(&name.host, &address.host));
	assert_true(address_equal(&name.host.address, &address.host.address));
}

struct refusal {
	const char *bytes;
	size_t len, decides; /* bytes that it takes */
	enum reason reason;
};

static const struct refusal refusals[] = {
	{ BYTES("\4\1\0\3\1a\1\xbb"), 1, REASON_BAD_REQUEST },
	{ BYTES("\5\2\0\1\0\0\0\0\0\0"), 2, REASON_METHOD_NOT_ALLOWED },
	{ BYTES("\5\3\0\1\0\0\0\0\0\0"), 2, REASON_METHOD_NOT_ALLOWED },
	{ BYTES("\5\0\0\1\0\0\0\0\0\0"), 2, REASON_METHOD_NOT_ALLOWED },
	{ BYTES("\5\xf0\0\3\1a\0\0"), 2, REASON_METHOD_NOT_ALLOWED },
	{ BYTES("\5\1\1\3\1a\1\xbb"), 3, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\0\1a\1\xbb"), 4, REASON_ADDRESS_TYPE },
	{ BYTES("\5\1\0\2\1a\1\xbb"), 4, REASON_ADDRESS_TYPE },
	{ BYTES("\5\1\0\5\1a\1\xbb"), 4, REASON_ADDRESS_TYPE },
	{ BYTES("\5\1\0\xff\1a\1\xbb"), 4, REASON_ADDRESS_TYPE },
	{ BYTES("\5\1\0\3\0\1\xbb"), 5, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\1a\0\0"), 8, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\1\1\2\3\4\0\0"), 10, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\3a\0b\1\xbb"), 10, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\3a:1\1\xbb"), 10, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\5[::1]\1\xbb"), 12, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\3::1\1\xbb"), 10, REASON_BAD_REQUEST },
	{ BYTES("\5\1\0\3\5"
		"127.1\1\xbb"),
		12, REASON_BAD_REQUEST },
};

static void test_refusals(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct socks_request request;
		for (size_t n = 0; n < refusals[i].decides; n++)
			assert_int_equal(ask(refusals[i].bytes, n, &request), PARSE_MORE);
		for (size_t n = refusals[i].decides; n <= refusals[i].len; n++) {
			assert_int_equal(ask(refusals[i].bytes, n, &request), PARSE_BAD);
			assert_int_equal(request.reason, refusals[i].reason);
		}
	}
}

static void test_longest_name(void **state)
{
	(void) state;
	char bytes[SOCKS_REQUEST_MAX] = "\5\1\0\3\xff";
	struct socks_request request;
	for (size_t i = 0; i < 255; i++)
		bytes[5 + i] = i % 4 == 3 ? '.' : 'a';
	bytes[sizeof(bytes) - 1] = 1;
	assert_int_equal(ask(bytes, sizeof(bytes) - 1, &request), PARSE_MORE);
	assert_int_equal(ask(bytes, sizeof(bytes), &request), PARSE_BAD);
	assert_non_null(request.problem);

	bytes[4] = (char) 253;
	bytes[5 + 253] = 1;
	bytes[5 + 254] = 2;
	assert_int_equal(ask(bytes, sizeof(bytes) - 2, &request), PARSE_DONE);
	assert_int_equal(request.host.len, 253);
	assert_int_equal(request.port, 0x102);
}

static void test_replies(void **state)
{
	(void) state;
	static const struct {
		enum reason reason;
		int code;
	} wanted[] = {
		{ REASON_ALLOWED, 0 },
		{ REASON_NOT_LISTED, 2 },
		{ REASON_DENIED, 2 },
		{ REASON_PORT_NOT_LISTED, 2 },
		{ REASON_ADDRESS_FORBIDDEN, 2 },
		{ REASON_CONNECT_UNREACHABLE, 3 },
		{ REASON_RESOLVE_FAILED, 4 },
		{ REASON_RESOLVE_TIMEOUT, 4 },
		{ REASON_CONNECT_TIMEOUT, 4 },
		{ REASON_CONNECT_REFUSED, 5 },
		{ REASON_METHOD_NOT_ALLOWED, 7 },
		{ REASON_ADDRESS_TYPE, 8 },
		{ REASON_BAD_REQUEST, 1 },
		{ REASON_LIMIT_RESOURCES, 1 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_int_equal(socks_reply_of(wanted[i].reason), wanted[i].code);
	for (int reason = 0; reason < REASON_COUNT; reason++)
		assert_int_equal(socks_reply_of((enum reason) reason) == SOCKS_SUCCEEDED, reason == REASON_ALLOWED);

	char reply[SOCKS_REPLY_LEN], method[SOCKS_METHOD_LEN];
	socks_write_reply(SOCKS_CONNECTION_REFUSED, reply);
	assert_memory_equal(reply, "\5\5\0\1\0\0\0\0\0\0", sizeof(reply));
	socks_write_method(SOCKS_NO_ACCEPTABLE_METHODS, method);
	assert_memory_equal(method, "\5\xff", sizeof(method));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_address_is_its_text),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
