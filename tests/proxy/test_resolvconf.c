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
#include "proxy/resolvconf.h"
#include "tests/base/guard.h"

/* The servers with blanks between them. */
static const char *servers(const char *text)
{
	static char buf[RESOLVCONF_SERVERS_MAX * 80];
	struct resolvconf_server found[RESOLVCONF_SERVERS_MAX];
	size_t len = strlen(text), n = resolvconf_servers(guarded(text, len), len, found);
	buf[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char address[ADDRESS_TEXT_MAX];
		address_format(&found[i].address, address);
		strcat(strcat(buf, i ? " " : ""), address);
		if (found[i].scope[0])
			strcat(strcat(buf, "%"), found[i].scope);
	}
	return buf;
}

static void test_servers(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		const char *servers;
	} rows[] = {
		{ "", "127.0.0.1" },
		{ "search corp.test\noptions ndots:5\n", "127.0.0.1" },
		{ "nameserver 198.51.100.1", "198.51.100.1" },
		{ "# c\n\nnameserver\t198.51.100.1  # c\r\n  nameserver 198.51.100.2\n", "198.51.100.1 198.51.100.2" },
		{ "nameserver fe80::1%eth0\nnameserver 2001:db8::1\n", "fe80::1%eth0 2001:db8::1" },
		{ "nameserver 198.51.100.1%eth0\nnameserver fe80::1%\nnameserver fe80::1%a,198.51.100.9\n",
			"127.0.0.1" },
		{ "nameserver 198.51.100.300\nnameserver 1.2\nnameserver x\nnameserver\n", "127.0.0.1" },
		{ "nameservers 198.51.100.1\n;nameserver 198.51.100.1\n#nameserver 198.51.100.1\n", "127.0.0.1" },
		{ "nameserver 198.51.100.1\nnameserver 198.51.100.2\nnameserver 198.51.100.3\nnameserver "
		  "198.51.100.4\n",
			"198.51.100.1 198.51.100.2 198.51.100.3" },
		{ "nameserver fe80::1%0123456789abcdef\n", "127.0.0.1" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(servers(rows[i].text), rows[i].servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
