/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The survey against a kernel of our own: the tunnels' fallback devices are in a namespace only where their modules
 * are, and a rename in the middle of it is nobody's to time.
 */
#include "netns/survey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "netns/foreign.h"
#include "netns/netlink.h"

#define LINKS_MAX (FOREIGN_MAX + 8)

static struct {
	struct netlink_link links[LINKS_MAX];
	size_t n;
	int address, route;    /* the index that has one; 0: nobody, -1: one that is not named */
	const char *next_name; /* of the last link, from the next look at names on */
} kernel;

int netlink_open(struct netlink **ret, struct error *err)
{
	(void) err;
	*ret = NULL;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	(void) netlink;
}

int netlink_each_link(
	struct netlink *netlink, bool (*fn)(const struct netlink_link *link, void *arg), void *arg, struct error *err)
{
	(void) netlink;
	(void) err;
	for (size_t i = 0; i < kernel.n; i++)
		if (!fn(&kernel.links[i], arg))
			break;
	return 0;
}

static int each_index(int index, bool (*fn)(int index, void *arg), void *arg)
{
	if (fn(1, arg) && index != 0)
		(void) fn(index < 0 ? 0 : index, arg);
	return 0;
}

int netlink_each_address(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err)
{
	(void) netlink;
	(void) err;
	return each_index(kernel.address, fn, arg);
}

int netlink_each_route(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err)
{
	(void) netlink;
	(void) err;
	return each_index(kernel.route, fn, arg);
}

int netlink_get_link(struct netlink *netlink, int index, struct netlink_link *ret, struct error *err)
{
	(void) netlink;
	(void) err;
	for (size_t i = 0; i < kernel.n; i++)
		if (kernel.links[i].index == index) {
			*ret = kernel.links[i];
			return 0;
		}
	return -ENODEV;
}

int netlink_find_link(struct netlink *netlink, const char *name, struct netlink_link *ret, struct error *err)
{
	(void) netlink;
	(void) err;
	if (kernel.next_name)
		(void) snprintf(kernel.links[kernel.n - 1].name, IFNAMSIZ, "%s", kernel.next_name);
	for (size_t i = 0; i < kernel.n; i++)
		if (strcmp(kernel.links[i].name, name) == 0) {
			*ret = kernel.links[i];
			return 0;
		}
	return -ENODEV;
}

int netlink_watch(int *ret_fd, struct error *err)
{
	(void) err;
	*ret_fd = -1;
	return 0;
}

int netlink_await(int watch, int timeout_ms, int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	(void) watch;
	(void) timeout_ms;
	return fn(arg, err);
}

static void begin(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.links[kernel.n++] = (struct netlink_link){ .index = 1, .name = "lo", .flags = IFF_LOOPBACK | IFF_UP };
}

static void add(const char *name, const char *kind, unsigned flags, int peer, bool elsewhere)
{
	struct netlink_link *link = &kernel.links[kernel.n];

	*link = (struct netlink_link){
		.index = (int) ++kernel.n, .flags = flags, .peer = peer, .elsewhere = elsewhere
	};
	(void) snprintf(link->name, sizeof(link->name), "%s", name);
	(void) snprintf(link->kind, sizeof(link->kind), "%s", kind);
}

static void add_fallbacks(void)
{
	static const char *const all[][2] = { { "tunl0", "ipip" }, { "gre0", "gre" }, { "gretap0", "gretap" },
		{ "erspan0", "erspan" }, { "ip_vti0", "vti" }, { "ip6_vti0", "vti6" }, { "sit0", "sit" },
		{ "ip6tnl0", "ip6tnl" }, { "ip6gre0", "ip6gre" } };

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		add(all[i][0], all[i][1], IFF_NOARP, 0, false);
}

static void assert_passes(void)
{
	struct error err = { .code = 0 };
	if (survey(NULL, &err) != 0)
		fail_msg("%s", err.msg);
}

static void assert_refused(const char *name, const char *what)
{
	struct error err = { .code = 0 };

	assert_int_equal(survey(NULL, &err), -EBUSY);
	assert_true(err.closed);
	if (!strstr(err.msg, name) || !strstr(err.msg, what))
		fail_msg("%s: expected %s and %s", err.msg, name, what);
}

static void test_idle_fallback_devices_pass(void **state)
{
	(void) state;
	begin();
	assert_passes();
	(void) strcpy(kernel.links[0].name, "eth0"); /* lo, renamed */
	assert_passes();
	add_fallbacks();
	assert_passes();
}

static void test_fallback_devices_in_use_are_refused(void **state)
{
	(void) state;
	begin();
	add("sit0", "sit", IFF_NOARP | IFF_UP, 0, false);
	assert_refused(": sit0 (index 2, up)", "--network none");
	add_fallbacks();
	kernel.address = 5;
	assert_refused(": erspan0 (index 5, with an address)", "--network none");
	add_fallbacks();
	kernel.route = 2;
	assert_refused(": tunl0 (index 2, with a route)", "--network none");
	kernel.route = -1;
	assert_refused(": ? (index -1, with a route)", "--network none");
}

/* The name, the kind, and that it was born here: who has one of them is no fallback device yet. */
static void test_what_looks_like_a_fallback_device(void **state)
{
	static const struct {
		const char *name, *kind;
		int peer;
		bool elsewhere;
	} rows[] = {
		{ "tunl0", "veth", 0, false },
		{ "tunl0", "", 0, false },
		{ "tunl0", "ipipx", 0, false },
		{ "tunl0", "sit", 0, false },
		{ "tunl1", "ipip", 0, false },
		{ "tunl", "ipip", 0, false },
		{ "sit0", "sit", 7, false },
		{ "sit0", "sit", 0, true },
		{ "sit00", "sit", 0, false },
		{ "", "", 0, false },
		{ "ip6gretap0", "ip6gretap", 0, false },
		{ "wg0", "wireguard", 0, false },
		{ "dummy0", "dummy", 0, false },
		{ "eth0", "", 0, false },
		{ "lo", "", 0, false },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		add(rows[i].name, rows[i].kind, 0, rows[i].peer, rows[i].elsewhere);
		assert_refused(rows[i].name, "(index 2, down");
	}
}

static void test_all_that_there_are(void **state)
{
	struct foreign foreign = { .n = 7 };
	struct error err;

	(void) state;
	add_fallbacks();
	add("eth0", "veth", IFF_UP, 9, true);
	assert_int_equal(survey(&foreign, &err), 0);
	assert_int_equal(foreign.n, 1);
	assert_string_equal(foreign.names[0], "eth0");
	add("net1", "macvlan", 0, 9, true);
	add("oe0", "veth", IFF_UP, 16384, true);
	assert_int_equal(survey_shared(&foreign, &err), 0);
	assert_int_equal(foreign.n, 2);
	assert_string_equal(foreign.names[1], "net1");
	begin();
	assert_int_equal(survey(&foreign, &err), 0);
	assert_int_equal(foreign.n, 0);
	while (kernel.n <= FOREIGN_MAX)
		add("eth", "veth", 0, 0, false);
	assert_int_equal(survey(&foreign, &err), 0);
	assert_int_equal(foreign.n, FOREIGN_MAX);
	add("eth", "veth", 0, 0, false);
	assert_int_equal(survey(&foreign, &err), -E2BIG);
	assert_true(err.closed);
}

static void test_oe0_goes_or_stays(void **state)
{
	struct error err;

	(void) state;
	begin();
	add("oe0", "veth", IFF_UP, 16384, true);
	assert_int_equal(survey(NULL, &err), -EEXIST);
	assert_true(err.closed);
}

static void test_oe0_that_is_renamed_is_refused(void **state)
{
	(void) state;
	begin();
	add("oe0", "veth", 0, 9, true);
	kernel.next_name = "eth7";
	assert_refused(": eth7 (", "--network none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_fallback_devices_pass),
		cmocka_unit_test(test_fallback_devices_in_use_are_refused),
		cmocka_unit_test(test_what_looks_like_a_fallback_device),
		cmocka_unit_test(test_all_that_there_are),
		cmocka_unit_test(test_oe0_goes_or_stays),
		cmocka_unit_test(test_oe0_that_is_renamed_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
