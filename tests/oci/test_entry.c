/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/entry.h"

#include "base/cleanup.h"
#include "tests/oci/test.h"

static const char *parse(const char *text, struct entry *ret)
{
	_cleanup_free_ char *copy = copy_of(text, strlen(text));
	return entry_parse(copy, strlen(text), ret);
}

static void test_good(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		const char *host;
		bool wildcard;
		uint16_t port;
		enum host_kind kind;
	} rows[] = {
		{ "example.com", "example.com", false, 0, HOST_NAME },
		{ "EXAMPLE.com.", "example.com", false, 0, HOST_NAME },
		{ "example.com:8443", "example.com", false, 8443, HOST_NAME },
		{ "*.Example.com", "example.com", true, 0, HOST_NAME },
		{ "*.example.com.:443", "example.com", true, 443, HOST_NAME },
		{ "intranet", "intranet", false, 0, HOST_NAME },
		{ "_x.xn--bcher-kva.example", "_x.xn--bcher-kva.example", false, 0, HOST_NAME },
		{ "203.0.113.7", "203.0.113.7", false, 0, HOST_ADDRESS },
		{ "203.0.113.7:1", "203.0.113.7", false, 1, HOST_ADDRESS },
		{ "[2001:DB8::0:1]", "2001:db8::1", false, 0, HOST_ADDRESS },
		{ "[2001:db8::1]:65535", "2001:db8::1", false, 65535, HOST_ADDRESS },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct entry entry;
		const char *problem = parse(rows[i].text, &entry);
		if (problem)
			fail_msg("%s: %s", rows[i].text, problem);
		assert_string_equal(entry.host.name, rows[i].host);
		assert_int_equal(entry.host.kind, rows[i].kind);
		assert_int_equal(entry.wildcard, rows[i].wildcard);
		assert_int_equal(entry.port, rows[i].port);
	}
}

static void test_bad(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		const char *hint; /* a part of the sentence */
	} rows[] = {
		{ "", "an empty entry" },
		{ " \t\n", "an empty entry" },
		{ ".", "root" },
		{ "..", "empty label" },
		{ "https://example.com", "a URL" },
		{ "example.com/v1", "a path" },
		{ "example.com/", "a path" },
		{ "user@example.com", "a user" },
		{ "10.0.0.0/8", "an address range" },
		{ "2001:db8::/32", "an address range" },
		{ "10.0.0.1/8", "a path or range" },
		{ "*", "an empty \"allow\"" },
		{ "*.", "the host is empty" },
		{ "**.example.com", "a wildcard is" },
		{ "*example.com", "a wildcard is" },
		{ "*.*.example.com", "a wildcard is" },
		{ "a.*.example.com", "a wildcard is" },
		{ "example.*", "a wildcard is" },
		{ "*:80", "an empty \"allow\"" },
		{ "*.com", "too wide" },
		{ "*.com.", "too wide" },
		{ "*.203.0.113.7", "in front of an address" },
		{ "*.1", "ends in a number" },
		{ "example.com:*", "the port" },
		{ "example.com:", "the port" },
		{ "example.com:0", "the port" },
		{ "example.com:65536", "the port" },
		{ "example.com:080", "the port" },
		{ "example.com:80-90", "the port" },
		{ "b\xc3\xbc"
		  "cher.example",
			"A-label" },
		{ "2001:db8::1", "without brackets" },
		{ "::1", "without brackets" },
		{ "[2001:db8::1", "closing bracket" },
		{ "[2001:db8::1%eth0]", "no IPv6 address" },
		{ "[203.0.113.7]", "no IPv6 address" },
		{ "127.1", "ends in a number" },
		{ "0x7f.1", "ends in a number" },
		{ "2130706433", "ends in a number" },
		{ "example.123", "ends in a number" },
		{ "example.0x1f", "ends in a number" },
		{ "010.0.0.1", "ends in a number" },
		{ "a b.example.com", "a byte that no host name has" },
		{ " example.com", "a byte that no host name has" },
		{ "example.com\nevil.test", "a byte that no host name has" },
		{ "-a.example.com", "hyphen" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct entry entry;
		const char *problem = parse(rows[i].text, &entry);
		if (!problem || !strstr(problem, rows[i].hint))
			fail_msg("%s: %s, expected: %s", rows[i].text, problem ? problem : "accepted", rows[i].hint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
