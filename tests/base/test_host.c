/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/base/guard.h"

/* Bytes in, canonical name out; NULL: refused. */
struct row {
	const char *bytes;
	size_t len;
	const char *name;
};
#define ROW(bytes, name)                       \
	{                                      \
		bytes, sizeof(bytes) - 1, name \
	}

static const struct row hosts[] = {
	ROW("example.com", "example.com"),
	ROW("EXAMPLE.Com", "example.com"),
	ROW("example.com.", "example.com"),
	ROW("localhost", "localhost"),
	ROW("a", "a"),
	ROW("_dmarc.example.com", "_dmarc.example.com"),
	ROW("a-b.c--d", "a-b.c--d"),
	ROW("xn--bcher-kva.example", "xn--bcher-kva.example"),
	ROW("1.example", "1.example"),
	ROW("0x1.example", "0x1.example"),
	ROW("example.0xg", "example.0xg"),
	ROW("example.1a", "example.1a"),
	ROW("1.2.3.4", "1.2.3.4"),
	ROW("0.0.0.0", "0.0.0.0"),
	ROW("", NULL),
	ROW(".", NULL),
	ROW("..", NULL),
	ROW(".example.com", NULL),
	ROW("example..com", NULL),
	ROW("example.com..", NULL),
	ROW("-a.example", NULL),
	ROW("a-.example", NULL),
	ROW("-", NULL),
	ROW("*.example.com", NULL),
	ROW("example.com\0", NULL),
	ROW("evil.test\0.example.com", NULL),
	ROW("example.com ", NULL),
	ROW(" example.com", NULL),
	ROW("exam\tple.com", NULL),
	ROW("example.com\r\n", NULL),
	ROW("ex%61mple.com", NULL),
	ROW("user@example.com", NULL),
	ROW("example.com:443", NULL),
	ROW("example.com/", NULL),
	ROW("\xc5\xbf"
	    "ecret.example",
		NULL),
	ROW("\xe2\x84\xaa.example", NULL),
	ROW("example\xe3\x80\x82"
	    "com",
		NULL),
	ROW("1", NULL),
	ROW("127.1", NULL),
	ROW("1.2.3.4.", NULL),
	ROW("1.2.3.04", NULL),
	ROW("1.2.3.4.5", NULL),
	ROW("256.1.1.1", NULL),
	ROW("0x7f.1", NULL),
	ROW("0x7f000001", NULL),
	ROW("0X7F", NULL),
	ROW("0x", NULL),
	ROW("example.0x", NULL),
	ROW("example.08", NULL),
	ROW("example.1.", NULL),
	ROW("::1", NULL),
	ROW("[::1]", NULL),
};

static void test_hosts(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct host host = { .kind = 77 };
		host_problem problem = host_parse(guarded(hosts[i].bytes, hosts[i].len), hosts[i].len, &host);
		if (!problem != !!hosts[i].name)
			fail_msg("\"%s\": %s", hosts[i].bytes, problem ? problem : host.name);
		if (problem) {
			assert_int_equal(host.kind, 77);
			continue;
		}
		assert_string_equal(host.name, hosts[i].name);
		assert_int_equal(host.len, strlen(host.name));
		assert_int_equal(host.kind == HOST_ADDRESS, host.address.family == AF_INET);
	}
}

/* Every byte by itself in the middle of a name: what is forgiven is this set, and folds as said. */
static void test_every_byte(void **state)
{
	(void) state;
	for (int c = 0; c < 256; c++) {
		char name[] = { 'a', (char) c, 'b' };
		struct host host;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool legal = letter || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		assert_int_equal(host_parse(guarded(name, sizeof(name)), sizeof(name), &host) == NULL, legal);
		if (legal)
			assert_int_equal(host.name[1], letter ? c | 0x20 : c);
	}
}

static void test_lengths(void **state)
{
	(void) state;
	struct host host;
	char name[GUARD_SIZE];

	memset(name, 'a', sizeof(name));
	assert_null(host_parse(guarded(name, 63), 63, &host));
	assert_non_null(host_parse(guarded(name, 64), 64, &host));
	for (size_t i = 63; i < sizeof(name); i += 64)
		name[i] = '.';
	assert_null(host_parse(guarded(name, 253), 253, &host));
	assert_int_equal(host.len, 253);
	assert_int_equal(host.name[253], '\0');
	assert_non_null(host_parse(guarded(name, 254), 254, &host));
	name[253] = '.';
	assert_null(host_parse(guarded(name, 254), 254, &host));
	assert_int_equal(host.len, 253);
	name[254] = '.';
	assert_non_null(host_parse(guarded(name, 255), 255, &host));
	assert_non_null(host_parse(guarded(name, GUARD_SIZE), GUARD_SIZE, &host));
}

static const struct row brackets[] = {
	ROW("::1", "::1"),
	ROW("2001:DB8::1", "2001:db8::1"),
	ROW("0:0:0:0:0:0:0:1", "::1"),
	ROW("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
	ROW("", NULL),
	ROW("1.2.3.4", NULL),
	ROW("example.com", NULL),
	ROW("v1.fe80::a", NULL),
	ROW("fe80::1%eth0", NULL),
	ROW("fe80::1%25eth0", NULL),
	ROW("::1\0", NULL),
	ROW("::1.", NULL),
	ROW("[::1]", NULL),
};

static void test_brackets(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(brackets); i++) {
		struct host host;
		host_problem problem =
			host_parse_bracketed(guarded(brackets[i].bytes, brackets[i].len), brackets[i].len, &host);
		if (!problem != !!brackets[i].name)
			fail_msg("[%s]: %s", brackets[i].bytes, problem ? problem : host.name);
		if (problem)
			continue;
		assert_string_equal(host.name, brackets[i].name);
		assert_int_equal(host.kind, HOST_ADDRESS);
		assert_int_equal(host.address.family, AF_INET6);
	}
}

static void test_ports(void **state)
{
	(void) state;
	static const char *const bad[] = { "", "0", "00", "080", "+80", "-1", " 80", "80 ", "8 0", "65536", "99999",
		"100000", "4294967376", "18446744073709551696", "0x50", "80a", "8_0", "80/", "\xd9\xa8" };
	uint16_t port = 77;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!host_parse_port(guarded(bad[i], strlen(bad[i])), strlen(bad[i]), &port))
			fail_msg("taken for a port: \"%s\"", bad[i]);
	assert_non_null(host_parse_port("80\0", 3, &port));
	assert_int_equal(port, 77);

	for (unsigned n = 1; n <= 65535; n++) {
		char text[8];
		size_t len = (size_t) snprintf(text, sizeof(text), "%u", n);
		assert_null(host_parse_port(guarded(text, len), len, &port));
		assert_int_equal(port, n);
	}
}

static const struct {
	struct row row;
	uint16_t port; /* 0: none */
} authorities[] = {
	{ ROW("example.com:443", "example.com"), 443 },
	{ ROW("EXAMPLE.com.:1", "example.com"), 1 },
	{ ROW("1.2.3.4:65535", "1.2.3.4"), 65535 },
	{ ROW("[::1]:80", "::1"), 80 },
	{ ROW("example.com", "example.com"), 0 },
	{ ROW("[::1]", "::1"), 0 },
	{ ROW("", NULL), 0 },
	{ ROW(":", NULL), 0 },
	{ ROW(":443", NULL), 0 },
	{ ROW("example.com:", NULL), 0 },
	{ ROW("example.com:443:", NULL), 0 },
	{ ROW("example.com:443:443", NULL), 0 },
	{ ROW("example.com:443/", NULL), 0 },
	{ ROW("example.com:443\0", NULL), 0 },
	{ ROW("example.com:443 ", NULL), 0 },
	{ ROW("example.com:0443", NULL), 0 },
	{ ROW("u@example.com:443", NULL), 0 },
	{ ROW("u:p@example.com:443", NULL), 0 },
	{ ROW("http://example.com:443", NULL), 0 },
	{ ROW("example.com#:443", NULL), 0 },
	{ ROW("::1:443", NULL), 0 },
	{ ROW("[::1", NULL), 0 },
	{ ROW("[::1:443", NULL), 0 },
	{ ROW("::1]:443", NULL), 0 },
	{ ROW("[]:443", NULL), 0 },
	{ ROW("[", NULL), 0 },
	{ ROW("]", NULL), 0 },
	{ ROW("[::1]443", NULL), 0 },
	{ ROW("[::1].:443", NULL), 0 },
	{ ROW("[::1]]:443", NULL), 0 },
	{ ROW("[[::1]]:443", NULL), 0 },
	{ ROW("[::1]:", NULL), 0 },
	{ ROW("[1.2.3.4]:443", NULL), 0 },
	{ ROW("[example.com]:443", NULL), 0 },
	{ ROW("x[::1]:443", NULL), 0 },
};

static void test_authorities(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(authorities); i++) {
		const struct row *row = &authorities[i].row;
		const char *bytes = guarded(row->bytes, row->len);
		struct host host = { .kind = 77 };
		uint16_t port = 77;
		host_problem problem = host_parse_authority(bytes, row->len, false, &host, &port);
		if (!problem != !!row->name)
			fail_msg("\"%s\": %s", row->bytes, problem ? problem : host.name);
		if (problem) {
			assert_int_equal(host.kind, 77);
			assert_int_equal(port, 77);
		} else {
			assert_string_equal(host.name, row->name);
			assert_int_equal(port, authorities[i].port);
		}
		bool whole = row->name && authorities[i].port != 0;
		assert_int_equal(host_parse_authority(bytes, row->len, true, &host, &port) == NULL, whole);
	}
}

/* Cut anywhere, an authority is a shorter one or none, and nothing behind the cut is looked at. */
static void test_prefixes(void **state)
{
	(void) state;
	static const char name[] = "ab.cd:8443", literal[] = "[fd00::1]:8443";
	for (size_t len = 0; len < sizeof(name); len++) {
		struct host host;
		uint16_t port;
		bool good = host_parse_authority(guarded(name, len), len, true, &host, &port) == NULL;
		assert_int_equal(good, len >= 7);
		good = host_parse_authority(guarded(name, len), len, false, &host, &port) == NULL;
		assert_int_equal(good, len != 0 && len != 6);
	}
	for (size_t len = 0; len < sizeof(literal); len++) {
		struct host host;
		uint16_t port;
		bool good = host_parse_authority(guarded(literal, len), len, true, &host, &port) == NULL;
		assert_int_equal(good, len >= 11);
		good = host_parse_authority(guarded(literal, len), len, false, &host, &port) == NULL;
		assert_int_equal(good, len == 9 || len >= 11);
	}
}

static struct host parse(const char *text)
{
	struct host host;
	uint16_t port;
	assert_null(host_parse_authority(text, strlen(text), false, &host, &port));
	return host;
}

static void test_equal(void **state)
{
	(void) state;
	struct host name = parse("a.example"), same = parse("A.EXAMPLE."), other = parse("b.example"),
		    longer = parse("a.example.a");
	assert_true(host_equal(&name, &same));
	assert_false(host_equal(&name, &other));
	assert_false(host_equal(&name, &longer));
	struct host six = parse("[0:0::1]"), again = parse("[::0001]"), four = parse("0.0.0.1");
	assert_true(host_equal(&six, &again));
	assert_false(host_equal(&six, &four));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_brackets),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
