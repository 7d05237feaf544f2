/* SPDX-License-Identifier: Apache-2.0 */
/* Whose address it is, asked of a real kernel: in a network namespace of its own, which no packet leaves. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proxy/dial.h"
#include "proxy/route.h"

static struct address address(const char *text)
{
	struct address address;
	bool ok = address_parse4(text, strlen(text), &address) || address_parse6(text, strlen(text), &address);
	assert_true(ok);
	return address;
}

static void test_kinds(void **state)
{
	int fd = *(int *) *state;
	static const struct {
		const char *address;
		enum route_kind kind;
	} rows[] = {
		{ "127.0.0.1", ROUTE_FORBIDDEN },
		{ "198.51.100.1", ROUTE_FORBIDDEN },  /* our own */
		{ "198.51.100.31", ROUTE_FORBIDDEN }, /* broadcast of the link's network */
		{ "198.51.100.2", ROUTE_UNICAST },    /* on the link */
		{ "203.0.113.1", ROUTE_UNICAST },     /* behind a gateway */
		{ "224.0.0.1", ROUTE_FORBIDDEN },
		{ "203.0.113.129", ROUTE_FORBIDDEN }, /* blackhole: EINVAL */
		{ "203.0.113.193", ROUTE_FORBIDDEN }, /* prohibit: EACCES */
		{ "198.18.0.1", ROUTE_NONE },
		{ "2001:db8:1::1", ROUTE_NONE },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address a = address(rows[i].address);
		if (route_lookup(fd, &a) != rows[i].kind)
			fail_msg("%s", rows[i].address);
	}
}

static void test_a_broken_socket_forbids(void **state)
{
	(void) state;
	struct address a = address("203.0.113.1");
	assert_int_equal(route_lookup(-1, &a), ROUTE_FORBIDDEN);
	assert_int_equal(route_lookup(0, &a), ROUTE_FORBIDDEN);
}

/* No networks, no rules. */
static const struct image bare = { .magic = IMAGE_MAGIC };

static void test_own_public_address_is_forbidden(void **state)
{
	int fd = *(int *) *state;
	struct dial dial;
	struct address forbidden;
	/* a public address that this namespace has itself: nothing is sent to it */
	struct address own = address("192.175.48.1");
	assert_int_equal(address_floor(&own) != NULL, 0);
	assert_int_equal(dial_prepare(&dial, &bare, fd, &own, 1, 443, &forbidden), REASON_ADDRESS_FORBIDDEN);
}

static void test_networks_open_even_our_own(void **state)
{
	int fd = *(int *) *state;
	struct {
		struct image image;
		struct image_network network;
	} policy = {
		.image.networks = { .offset = offsetof(typeof(policy), network), .count = 1 },
		.network = { .family = AF_INET, .prefix = 32, .bytes = { 198, 51, 100, 1 } },
	};
	struct dial dial;
	struct address forbidden;
	const struct address addresses[] = { address("198.51.100.1"), address("198.51.100.2") };
	assert_int_equal(dial_prepare(&dial, &policy.image, fd, addresses, 1, 443, &forbidden), REASON_NONE);
	assert_int_equal(dial.n, 1);
	assert_int_equal(
		dial_prepare(&dial, &policy.image, fd, addresses, 2, 443, &forbidden), REASON_ADDRESS_FORBIDDEN);
	assert_true(address_equal(&forbidden, &addresses[1]));
}

static void test_families_take_turns(void **state)
{
	int fd = *(int *) *state;
	struct {
		struct image image;
		struct image_network networks[2];
	} policy = {
		.image.networks = { .offset = offsetof(typeof(policy), networks), .count = 2 },
		.networks = { { .family = AF_INET, .bytes = { 0 } }, { .family = AF_INET6, .bytes = { 0 } } },
	};
	struct dial dial;
	struct address forbidden;
	const struct address all[] = { address("203.0.113.1"), address("203.0.113.2"), address("203.0.113.3"),
		address("2001:db8:1::1"), address("2001:db8:1::2") };
	static const uint8_t order[] = { 3, 0, 4, 1, 2 };
	/* in networks: what has no route fails at once, when it is dialled */
	assert_int_equal(dial_prepare(&dial, &policy.image, fd, all, ARRAY_SIZE(all), 443, &forbidden), REASON_NONE);
	assert_int_equal(dial.n, ARRAY_SIZE(order));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_true(address_equal(&dial.addresses[i], &all[order[i]]));

	struct address nowhere = address("192.31.196.1");
	if (!address_floor(&nowhere))
		assert_int_equal(
			dial_prepare(&dial, &bare, fd, &nowhere, 1, 443, &forbidden), REASON_CONNECT_UNREACHABLE);
}

static void run(const char *command)
{
	if (system(command) != 0) {
		(void) fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

static int open_route(void **state)
{
	static int fd;
	*state = &fd;
	return route_open(&fd, NULL);
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	run("ip link set lo up && ip addr add 198.51.100.1/32 dev lo && ip addr add 192.175.48.1/32 dev lo");
	run("ip link add name left type veth peer name right && ip link set left up && ip link set right up");
	run("ip addr add 198.51.100.1/27 broadcast 198.51.100.31 dev left");
	run("ip route add 203.0.113.0/25 via 198.51.100.2 && ip route add 224.0.0.0/4 dev left");
	run("ip route add blackhole 203.0.113.128/26 && ip route add prohibit 203.0.113.192/26");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_a_broken_socket_forbids),
		cmocka_unit_test(test_own_public_address_is_forbidden),
		cmocka_unit_test(test_networks_open_even_our_own),
		cmocka_unit_test(test_families_take_turns),
	};
	return cmocka_run_group_tests(tests, open_route, NULL);
}
