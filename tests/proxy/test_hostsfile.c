/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/hostsfile.h"
#include "tests/base/guard.h"

static const char *lookup(const char *text, const char *name, size_t max)
{
	static char buf[512];
	struct host host;
	struct address found[8];
	size_t len = strlen(text);
	assert_null(host_parse(name, strlen(name), &host));
	struct hostsfile *hosts;
	assert_int_equal(hostsfile_new(guarded(text, len), len, &hosts, NULL), 0);
	size_t n = hostsfile_find(hosts, &host, found, max);
	hostsfile_free(hosts);
	buf[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char address[ADDRESS_TEXT_MAX];
		address_format(&found[i], address);
		strcat(strcat(buf, i ? " " : ""), address);
	}
	return buf;
}

static void test_hosts(void **state)
{
	(void) state;
	static const char hosts[] = "127.0.0.1 localhost\n"
				    "198.51.100.1\ta.test alias.test # b.test\n"
				    "#198.51.100.2 b.test\n"
				    "2001:db8::1 A.TEST.\n"
				    "198.51.100.1 a.test\n"
				    "198.51.100.03 c.test\n"
				    "fe80::1%lo c.test\n"
				    "198.51.100.4\n"
				    "c.test\n"
				    "198.51.100.5 last.test";
	static const struct {
		const char *name;
		const char *addresses;
	} rows[] = {
		{ "a.test", "198.51.100.1 2001:db8::1" },
		{ "A.test.", "198.51.100.1 2001:db8::1" },
		{ "alias.test", "198.51.100.1" },
		{ "b.test", "" },
		{ "c.test", "" },
		{ "test", "" },
		{ "x.a.test", "" },
		{ "localhost", "127.0.0.1" },
		{ "last.test", "198.51.100.5" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(lookup(hosts, rows[i].name, 8), rows[i].addresses);
	assert_string_equal(lookup(hosts, "a.test", 1), "198.51.100.1");
	assert_string_equal(lookup("", "a.test", 8), "");
	assert_string_equal(lookup("127.0.0.1", "a.test", 8), "");
}

/* A block list: every name of it is found, whatever others share its place in the table. */
static void test_many(void **state)
{
	(void) state;
	enum { N = 20000 };
	char *text = malloc(N * 32);
	size_t len = 0;
	assert_non_null(text);
	for (unsigned i = 0; i < N; i++)
		len += (size_t) sprintf(text + len, "198.51.%u.%u n%u.test\n", i / 256, i % 256, i);
	struct hostsfile *hosts;
	assert_int_equal(hostsfile_new(text, len, &hosts, NULL), 0);
	for (unsigned i = 0; i < N + 100; i++) {
		struct host host;
		struct address found[2];
		char name[32];
		(void) sprintf(name, "N%u.test", i);
		assert_null(host_parse(name, strlen(name), &host));
		assert_int_equal(hostsfile_find(hosts, &host, found, 2), i < N);
		if (i < N)
			assert_int_equal(found[0].bytes[2] * 256 + found[0].bytes[3], i);
	}
	hostsfile_free(hosts);
	free(text);
}

/* One name as often as the file holds it takes no longer than as many names. */
static void test_one_name(void **state)
{
	(void) state;
	enum { N = 200000 };
	static const char line[] = "198.51.100.1 a.test\n";
	char *text = malloc(N * strlen(line));
	assert_non_null(text);
	for (size_t i = 0; i < N; i++)
		memcpy(text + i * strlen(line), line, strlen(line));
	struct hostsfile *hosts;
	struct host host;
	struct address found[2];
	alarm(20);
	assert_int_equal(hostsfile_new(text, N * strlen(line), &hosts, NULL), 0);
	alarm(0);
	assert_null(host_parse("a.test", strlen("a.test"), &host));
	assert_int_equal(hostsfile_find(hosts, &host, found, 2), 1);
	hostsfile_free(hosts);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_one_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
