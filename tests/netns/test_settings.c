/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "netns/netlink.h"
#include "netns/netns.h"
#include "tests/netns/fixture.h"

/* Everything that a host's settings can hand down to a new namespace, at its worst. */
#define HOSTILE                                                                                                 \
	"for i in all default; do sysctl -qw net.ipv4.conf.$i.rp_filter=2 net.ipv4.conf.$i.route_localnet=1 "   \
	"net.ipv4.conf.$i.proxy_arp=1 net.ipv4.conf.$i.accept_redirects=1 net.ipv4.conf.$i.send_redirects=1 "   \
	"net.ipv4.conf.$i.accept_local=1 net.ipv4.conf.$i.src_valid_mark=1 net.ipv4.conf.$i.arp_ignore=8 "      \
	"net.ipv4.conf.$i.arp_accept=1 net.ipv4.conf.$i.log_martians=1 net.ipv4.conf.$i.accept_source_route=1 " \
	"net.ipv4.conf.$i.bc_forwarding=1 net.ipv4.conf.$i.bootp_relay=1 net.ipv4.conf.$i.proxy_arp_pvlan=1 "   \
	"net.ipv4.conf.$i.secure_redirects=0 net.ipv6.conf.$i.accept_ra=2 net.ipv6.conf.$i.autoconf=1 "         \
	"net.ipv6.conf.$i.accept_redirects=1 net.ipv6.conf.$i.accept_source_route=1 "                           \
	"net.ipv6.conf.$i.disable_ipv6=0 net.ipv6.conf.$i.forwarding=1; done; "                                 \
	"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_echo_ignore_all=0"

struct expected {
	const char *name;
	int value;
};

/* Of an interface. */
static const struct expected interface[] = {
	{ "ipv4/conf/%s/forwarding", 0 },
	{ "ipv4/conf/%s/route_localnet", 0 },
	{ "ipv4/conf/%s/rp_filter", 1 },
	{ "ipv4/conf/%s/proxy_arp", 0 },
	{ "ipv4/conf/%s/proxy_arp_pvlan", 0 },
	{ "ipv4/conf/%s/accept_redirects", 0 },
	{ "ipv4/conf/%s/send_redirects", 0 },
	{ "ipv4/conf/%s/secure_redirects", 1 },
	{ "ipv4/conf/%s/accept_source_route", 0 },
	{ "ipv4/conf/%s/accept_local", 0 },
	{ "ipv4/conf/%s/src_valid_mark", 0 },
	{ "ipv4/conf/%s/bc_forwarding", 0 },
	{ "ipv4/conf/%s/bootp_relay", 0 },
	{ "ipv4/conf/%s/arp_ignore", 2 },
	{ "ipv4/conf/%s/arp_announce", 2 },
	{ "ipv4/conf/%s/arp_accept", 0 },
	{ "ipv4/conf/%s/log_martians", 0 },
	{ "ipv6/conf/%s/disable_ipv6", 1 },
	{ "ipv6/conf/%s/forwarding", 0 },
	{ "ipv6/conf/%s/accept_ra", 0 },
	{ "ipv6/conf/%s/autoconf", 0 },
	{ "ipv6/conf/%s/accept_redirects", 0 },
	{ "ipv6/conf/%s/accept_source_route", 0 },
	{ "ipv6/conf/%s/addr_gen_mode", 1 },
};

static const struct expected transit[] = {
	{ "ipv4/ip_forward", 0 },
	{ "ipv4/icmp_echo_ignore_all", 1 },
	{ "ipv4/conf/all/route_localnet", 0 },
	{ "ipv4/conf/all/rp_filter", 1 },
	{ "ipv4/conf/all/proxy_arp", 0 },
	{ "ipv4/conf/all/accept_redirects", 0 },
	{ "ipv4/conf/all/send_redirects", 0 },
	{ "ipv4/conf/all/accept_local", 0 },
	{ "ipv4/conf/all/src_valid_mark", 0 },
	{ "ipv4/conf/all/arp_ignore", 2 },
	{ "ipv4/conf/all/arp_announce", 2 },
	{ "ipv4/conf/all/arp_accept", 0 },
	{ "ipv4/conf/all/log_martians", 0 },
	{ "ipv4/conf/default/forwarding", 0 },
	{ "ipv4/conf/default/route_localnet", 0 },
	{ "ipv4/conf/default/rp_filter", 1 },
	{ "ipv4/conf/default/proxy_arp", 0 },
	{ "ipv4/conf/default/accept_redirects", 0 },
	{ "ipv6/conf/all/disable_ipv6", 1 },
	{ "ipv6/conf/all/forwarding", 0 },
	{ "ipv6/conf/default/disable_ipv6", 1 },
	{ "ipv6/conf/default/forwarding", 0 },
	{ "ipv6/conf/default/accept_ra", 0 },
	{ "ipv6/conf/default/autoconf", 0 },
	{ "ipv6/conf/default/accept_redirects", 0 },
};

static void assert_settings(int netns, const struct expected *expected, size_t n, const char *interface_name)
{
	for (size_t i = 0; i < n; i++) {
		char name[128] = "";
		const char *slot = strstr(expected[i].name, "%s");
		if (slot)
			(void) snprintf(name, sizeof(name), "%.*s%s%s", (int) (slot - expected[i].name),
				expected[i].name, interface_name ? interface_name : "", slot + 2);
		const char *full = slot ? name : expected[i].name;
		int value = fixture_setting(netns, full);
		if (value != expected[i].value)
			fail_msg("%s is %d, not %d", full, value, expected[i].value);
	}
}

static int apply_transit(void *arg, struct error *err)
{
	(void) arg;
	return settings_transit(err);
}

static void test_transit_trusts_nothing_it_begins_with(void **state)
{
	const struct fixture *fixture = *state;
	struct error err;

	fixture_sh(fixture->container, HOSTILE);
	assert_int_equal(fixture_setting(fixture->container, "ipv4/conf/default/route_localnet"), 1);
	assert_int_equal(netns_call(fixture->container, apply_transit, NULL, &err), 0);
	assert_settings(fixture->container, transit, ARRAY_SIZE(transit), NULL);
}

/* A value that `all` has already says nothing of `default`. */
static void test_transit_sets_default_by_itself(void **state)
{
	const struct fixture *fixture = *state;
	struct error err;

	fixture_sh(fixture->container, HOSTILE
		"; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.all.forwarding=0; "
		"sysctl -qw net.ipv4.conf.default.forwarding=1 net.ipv6.conf.default.disable_ipv6=0 "
		"net.ipv6.conf.default.forwarding=1");
	assert_int_equal(netns_call(fixture->container, apply_transit, NULL, &err), 0);
	assert_settings(fixture->container, transit, ARRAY_SIZE(transit), NULL);
}

static int apply_interface(void *arg, struct error *err)
{
	struct netlink *netlink = NULL;
	struct netlink_link link;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_find_link(netlink, arg, &link, err);
	if (r == 0)
		r = settings_interface(netlink, link.index, arg, err);
	netlink_close(netlink);
	return r;
}

static void test_interface_trusts_nothing_it_begins_with(void **state)
{
	const struct fixture *fixture = *state;
	char name[] = "d0";
	struct error err;

	fixture_sh(fixture->container, HOSTILE "; ip link add d0 type veth peer name d1");
	assert_int_equal(fixture_setting(fixture->container, "ipv4/conf/d0/route_localnet"), 1);
	assert_int_equal(netns_call(fixture->container, apply_interface, name, &err), 0);
	assert_settings(fixture->container, interface, ARRAY_SIZE(interface), name);
}

static void test_link_has_them_on_both_ends(void **state)
{
	const struct fixture *fixture = *state;

	fixture_sh(fixture->container, HOSTILE);
	fixture_sh(fixture->host, HOSTILE);
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int netns = fixture_netns_of(link.listener);
	assert_settings(netns, transit, ARRAY_SIZE(transit), NULL);
	assert_settings(netns, interface, ARRAY_SIZE(interface), LINK_TRANSIT_NAME);
	assert_settings(fixture->container, interface, ARRAY_SIZE(interface), LINK_NAME);
	/* The container's own are left alone. */
	assert_int_equal(fixture_setting(fixture->container, "ipv4/conf/all/route_localnet"), 1);
	link_undo(fixture->container, &link);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_transit_trusts_nothing_it_begins_with),
		TEST(test_transit_sets_default_by_itself),
		TEST(test_interface_trusts_nothing_it_begins_with),
		TEST(test_link_has_them_on_both_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
