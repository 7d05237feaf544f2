/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/base/guard.h"

static const char *const good4[] = { "0.0.0.0", "1.2.3.4", "255.255.255.255", "10.0.0.1", "192.168.100.200" };

static const char *const bad4[] = { "", ".", "1", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "1.2.3.4.5",
	"01.2.3.4", "1.2.3.04", "1.2.3.00", "256.0.0.1", "1.2.3.256", "1.2.3.4294967297", "0x1.2.3.4", "1.2.3.4 ",
	" 1.2.3.4", "1.2.3.+4", "1.2.3.-4", "1.2.3.4a", "1,2,3,4", "1.2.3.4/32", "::1", "1.2.3.\xd9\xa3" };

/* RFC 5952: what stands on the right is the one way to write what stands on the left. */
static const char *const good6[][2] = {
	{ "::", "::" },
	{ "::1", "::1" },
	{ "1::", "1::" },
	{ "0:0:0:0:0:0:0:1", "::1" },
	{ "2001:0DB8::00Ab:0", "2001:db8::ab:0" },
	{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
	{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
	{ "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
	{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
	{ "::ffff:102:304", "::ffff:1.2.3.4" },
	{ "64:ff9b::10.0.0.1", "64:ff9b::a00:1" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
};

static const char *const bad6[] = { "", ":", ":::", "1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
	"1:2:3:4:5:6:7:8::", "::1::", "1::2::3", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "12345::", "::g", "::1%lo",
	"::1%25lo", "[::1]", "::1 ", " ::1", "::1.2.3", "::1.2.3.4.5", "::1.2.3.04", "::256.1.1.1", "1.2.3.4",
	"1.2.3.4::", "::1.2.3.4:1", "1:2:3:4:5:6:7:1.2.3.4", "::1/128", "::+1", "fe80::1\\",
	"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555" };

static void test_parse4(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good4); i++) {
		struct address address;
		char text[ADDRESS_TEXT_MAX];
		assert_true(address_parse4(guarded(good4[i], strlen(good4[i])), strlen(good4[i]), &address));
		assert_int_equal(address.family, AF_INET);
		address_format(&address, text);
		assert_string_equal(text, good4[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad4); i++) {
		struct address address = { .family = 77 };
		if (address_parse4(guarded(bad4[i], strlen(bad4[i])), strlen(bad4[i]), &address))
			fail_msg("taken for IPv4: \"%s\"", bad4[i]);
		assert_int_equal(address.family, 77);
	}
	struct address address;
	assert_false(address_parse4("1.2.3.4\0", 8, &address));
	assert_false(address_parse4("1.2.3\0.4", 8, &address));
}

static void test_parse6(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good6); i++) {
		struct address address, again;
		char text[ADDRESS_TEXT_MAX];
		const char *from = good6[i][0];
		if (!address_parse6(guarded(from, strlen(from)), strlen(from), &address))
			fail_msg("not taken for IPv6: \"%s\"", from);
		address_format(&address, text);
		assert_string_equal(text, good6[i][1]);
		assert_true(address_parse6(text, strlen(text), &again));
		assert_true(address_equal(&address, &again));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad6); i++) {
		struct address address = { .family = 77 };
		if (address_parse6(guarded(bad6[i], strlen(bad6[i])), strlen(bad6[i]), &address))
			fail_msg("taken for IPv6: \"%s\"", bad6[i]);
		assert_int_equal(address.family, 77);
	}
	struct address address;
	assert_false(address_parse6("::1\0", 4, &address));
	assert_false(address_parse6("::1\0:2", 6, &address));
}

static void test_prefixes(void **state)
{
	(void) state;
	const char *text = "1.2.3.40";
	for (size_t len = 0; len <= strlen(text); len++) {
		struct address address;
		assert_int_equal(address_parse4(guarded(text, len), len, &address), len >= 7);
	}
	text = "1:2:3:4:5:6:7:89ab";
	for (size_t len = 0; len <= strlen(text); len++) {
		struct address address;
		assert_int_equal(address_parse6(guarded(text, len), len, &address), len >= 15);
	}
	text = "10.0.0.0/16";
	for (size_t len = 0; len <= strlen(text); len++) {
		struct network network;
		const char *problem = network_parse(guarded(text, len), len, &network);
		bool good = len == 8 || len == 11; /* "/1" has host bits, "/" no prefix */
		assert_int_equal(problem == NULL, good);
	}
}

static const struct {
	const char *text, *canonical, *inside, *outside;
} good_networks[] = {
	{ "10.0.0.0/8", "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
	{ "0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::" },
	{ "10.1.2.3", "10.1.2.3/32", "10.1.2.3", "10.1.2.2" },
	{ "172.16.0.0/12", "172.16.0.0/12", "172.31.255.255", "172.32.0.0" },
	{ "198.51.100.128/25", "198.51.100.128/25", "198.51.100.128", "198.51.100.127" },
	{ "10.0.0.2/31", "10.0.0.2/31", "10.0.0.3", "10.0.0.4" },
	{ "::/0", "::/0", "ffff::", "1.2.3.4" },
	{ "FD00::/8", "fd00::/8", "fdff::1", "fc00::" },
	{ "fd00:0:0:1::/64", "fd00:0:0:1::/64", "fd00:0:0:1:ffff::", "fd00:0:0:2::" },
	{ "fd00::1", "fd00::1/128", "fd00::1", "fd00::" },
	{ "fe80::/10", "fe80::/10", "febf::", "fec0::" },
};

static const char *const bad_networks[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/+8",
	"10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/4294967304", "10.0.0.0/255.0.0.0", "10/8", "10.0.0.1/8",
	"10.0.0.0/0", "fd00::/129", "fd00::1/64", "fd00::/7x", "[fd00::]/8", "[fd00::/8]", "fd00::%1/8", "localhost",
	"example.com/8", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "::ffff:0:0/96" };

static struct address parse(const char *text)
{
	struct address address;
	if (!address_parse4(text, strlen(text), &address) && !address_parse6(text, strlen(text), &address))
		fail_msg("not an address: \"%s\"", text);
	return address;
}

static void test_networks(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good_networks); i++) {
		struct network network;
		char text[NETWORK_TEXT_MAX];
		const char *from = good_networks[i].text;
		assert_null(network_parse(guarded(from, strlen(from)), strlen(from), &network));
		network_format(&network, text);
		assert_string_equal(text, good_networks[i].canonical);
		struct address inside = parse(good_networks[i].inside), outside = parse(good_networks[i].outside);
		if (!network_contains(&network, &inside) || network_contains(&network, &outside))
			fail_msg("%s: wrong about %s or %s", text, good_networks[i].inside, good_networks[i].outside);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_networks); i++) {
		struct network network = { .prefix = 77 };
		const char *from = bad_networks[i];
		if (!network_parse(guarded(from, strlen(from)), strlen(from), &network))
			fail_msg("taken for a network: \"%s\"", from);
		assert_int_equal(network.prefix, 77);
	}
}

/* Each range by its first and last address, and the neighbours that belong to nobody. */
static const char *const in_floor[] = { "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
	"100.100.100.200", "100.127.255.255", "127.0.0.0", "127.255.255.255", "168.63.129.16", "169.254.0.0",
	"169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255",
	"192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0",
	"198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0",
	"239.255.255.255", "240.0.0.0", "255.255.255.255", "::", "::1", "::ffff:ffff", "::ffff:0.0.0.0",
	"::ffff:8.8.8.8", "::ffff:255.255.255.255", "::ffff:0:8.8.8.8", "::ffff:0:255.255.255.255",
	"64:ff9b::", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
	"100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "2001::", "2001::1",
	"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	"2002::", "2002:7f00:1::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"fc00::", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "fe80::1",
	"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };

static const char *const above_floor[] = { "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255",
	"100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255",
	"169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0",
	"192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
	"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "93.184.216.34",
	"::1:0:0:0", "0:0:0:0:1::", "::fffe:0:0", "::1:0:0", "64:ff9a:ffff::", "64:ff9b:0:1::", "64:ff9b::1:0:0",
	"64:ff9b:2::", "ff:ffff::", "100:0:0:2::", "100:0:1::", "2000:ffff::", "2001:200::", "2001:db7:ffff::",
	"2001:db9::", "2003::", "2606:4700::1111",
	"3ffe:ffff::", "3fff:1000::", "5eff:ffff::", "5f01::", "fbff:ffff::", "fe00::", "fe7f:ffff::" };

static void test_floor(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(in_floor); i++) {
		struct address address = parse(in_floor[i]);
		const struct network *network = address_floor(&address);
		if (!network)
			fail_msg("not in the floor: %s", in_floor[i]);
		assert_true(network_contains(network, &address));
	}
	for (size_t i = 0; i < ARRAY_SIZE(above_floor); i++) {
		struct address address = parse(above_floor[i]);
		if (address_floor(&address))
			fail_msg("in the floor: %s", above_floor[i]);
	}
}

static void test_mapped(void **state)
{
	(void) state;
	struct address mapped = parse("::ffff:8.8.8.8"), siit = parse("::ffff:0:8.8.8.8"), four = parse("8.8.8.8");
	assert_true(address_is_mapped(&mapped));
	assert_false(address_is_mapped(&siit));
	assert_false(address_is_mapped(&four));
	assert_false(address_equal(&mapped, &four));
}

static void test_sockaddr(void **state)
{
	(void) state;
	static const char *const texts[] = { "192.0.2.7", "2001:db8::7" };
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct address address = parse(texts[i]), back;
		struct sockaddr_storage sa;
		uint16_t port;
		socklen_t len = address_to_sockaddr(&address, 8443, &sa);
		assert_int_equal(len, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_true(address_from_sockaddr((const struct sockaddr *) &sa, &back, &port));
		assert_true(address_equal(&address, &back));
		assert_int_equal(port, 8443);
	}
	struct sockaddr_storage local = { .ss_family = AF_UNIX };
	struct address untouched = { .family = 77 };
	uint16_t port = 77;
	assert_false(address_from_sockaddr((const struct sockaddr *) &local, &untouched, &port));
	assert_int_equal(untouched.family, 77);
	assert_int_equal(port, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse4),
		cmocka_unit_test(test_parse6),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_sockaddr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
