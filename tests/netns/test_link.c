/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netns/netlink.h"
#include "netns/netns.h"
#include "tests/netns/fixture.h"

#define AT_ONCE_MS 100
#define GONE_MS 1000 /* about 20 on an idle machine; minutes where something holds it */
#define LOST_SECOND_MS 900

static void close_now(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

static void assert_echo(int from, int to)
{
	char buf[8];

	assert_int_equal(write(from, "ping", 4), 4);
	assert_int_equal(read(to, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "ping", 4);
}

static void assert_works(const struct fixture *fixture, const struct link *link)
{
	_cleanup_close_ int client = -1, server = -1;

	fixture_connect(fixture, link, &client, &server);
	assert_echo(client, server);
	assert_echo(server, client);
}

static int link_make_in(const struct fixture *fixture, int netns, enum link_kind kind, struct error *err)
{
	struct link_config config = fixture->config;
	struct link link;

	*err = (struct error){ .code = 0 };
	config.kind = kind;
	int r = link_check(netns, NULL, err);
	if (r == 0)
		r = link_make(netns, &config, &link, err);
	if (r == 0)
		link_undo(netns, &link);
	return r;
}

static void test_veth_carries_bytes(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);

	assert_int_equal(link.kind, LINK_VETH);
	assert_int_equal(link.port, FIXTURE_PORT);
	assert_false(link.raised_lo);
	assert_works(fixture, &link);
	link_undo(fixture->container, &link);
	assert_int_equal(link.listener, -1);
}

static void test_prefix_30_works_too(void **state)
{
	struct fixture *fixture = *state;

	fixture->config.prefix = 30;
	fixture->config.port = 8080;
	assert_int_equal(inet_pton(AF_INET, "198.18.7.1", &fixture->config.proxy), 1);
	assert_int_equal(inet_pton(AF_INET, "198.18.7.2", &fixture->config.container), 1);
	struct link link = fixture_link(fixture, LINK_VETH);
	assert_works(fixture, &link);
	link_undo(fixture->container, &link);
}

static void test_socket_carries_bytes(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_SOCKET);

	assert_int_equal(link.kind, LINK_SOCKET);
	assert_int_equal(link.proxy.s_addr, htonl(INADDR_LOOPBACK));
	assert_true(link.raised_lo);
	assert_works(fixture, &link);
	link_undo(fixture->container, &link);
	char *lo = fixture_output(fixture->container, "ip -o link show lo up; ip -o addr");
	assert_string_equal(lo, "");
	free(lo);
}

static void test_socket_leaves_a_raised_lo_up(void **state)
{
	const struct fixture *fixture = *state;

	fixture_sh(fixture->container, "ip link set lo up");
	struct link link = fixture_link(fixture, LINK_SOCKET);
	assert_false(link.raised_lo);
	link_undo(fixture->container, &link);
	assert_true(fixture_has_link(fixture->container, "lo up"));
}

static void test_listener_is_as_promised(void **state)
{
	const struct fixture *fixture = *state;
	const enum link_kind kinds[] = { LINK_VETH, LINK_SOCKET };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct link link = fixture_link(fixture, kinds[i]);
		struct linger linger = { .l_linger = 7 };
		socklen_t len = sizeof(linger);

		assert_true(fcntl(link.listener, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(link.listener, F_GETFD) & FD_CLOEXEC);
		_cleanup_close_ int client = -1, server = -1;
		fixture_connect(fixture, &link, &client, &server);
		assert_int_equal(getsockopt(server, SOL_SOCKET, SO_LINGER, &linger, &len), 0);
		assert_int_equal(linger.l_onoff, 1);
		assert_int_equal(linger.l_linger, 0);
		link_undo(fixture->container, &link);
	}
}

struct look {
	const char *name;
	struct netlink_link link;
};

static int look_here(void *arg, struct error *err)
{
	struct look *look = arg;
	struct netlink *netlink = NULL;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_find_link(netlink, look->name, &look->link, err);
	netlink_close(netlink);
	return r;
}

/* The first connection must not wait for the kernel's link watch: up, and known to be, from the very start. */
static void test_both_ends_are_up_from_the_start(void **state)
{
	const struct fixture *fixture = *state;

	for (int i = 0; i < 50; i++) {
		_cleanup_close_ int container = fixture_netns();
		struct fixture each = *fixture;
		each.container = container;
		struct link link = fixture_link(&each, LINK_VETH);

		/* RTM_GETLINK would bring it about: what counts is how soon a connection is there. */
		int64_t start = fixture_now_ms();
		assert_works(&each, &link);
		assert_true(fixture_now_ms() - start < LOST_SECOND_MS);
		link_undo(container, &link);
	}
}

static void test_transit_holds_nothing_else(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int transit = fixture_netns_of(link.listener);
	struct look look = { .name = LINK_TRANSIT_NAME };
	struct error err;

	assert_int_equal(netns_call(transit, look_here, &look, &err), 0);
	assert_int_equal(look.link.index, LINK_TRANSIT_INDEX);
	assert_string_equal(look.link.kind, "veth");
	assert_true(look.link.elsewhere);
	char *links = fixture_output(transit, "ip -o link | cut -d: -f2 | tr -d '\\n'");
	assert_string_equal(links, " lo " LINK_TRANSIT_NAME "@if2");
	free(links);
	char *lo = fixture_output(transit, "ip -o link show lo up; ip -6 -o addr; ip route show default");
	assert_string_equal(lo, "");
	free(lo);
	char *sockets = fixture_output(transit, "ss -Hltnu | wc -l");
	assert_string_equal(sockets, "1\n");
	free(sockets);
	link_undo(fixture->container, &link);
}

static void test_container_gets_oe0_and_no_more(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);

	char *links = fixture_output(fixture->container, "ip -o link | cut -d: -f2 | tr -d '\\n'");
	assert_string_equal(links, " lo " LINK_NAME "@if16384");
	free(links);
	char *rest = fixture_output(fixture->container,
		"ip -6 -o addr; ip route show default; ip -6 route show default; ip -o link show lo up");
	assert_string_equal(rest, "");
	free(rest);
	char *ids = fixture_output(fixture->container, "ip netns list-id | wc -l");
	assert_string_equal(ids, "1\n"); /* the transit's */
	free(ids);
	link_undo(fixture->container, &link);
}

static void test_nothing_appears_on_the_host(void **state)
{
	const struct fixture *fixture = *state;
	const enum link_kind kinds[] = { LINK_VETH, LINK_SOCKET };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char *before = fixture_snapshot(fixture->host);
		struct link link = fixture_link(fixture, kinds[i]);
		char *during = fixture_snapshot(fixture->host);
		assert_string_equal(before, during);
		assert_works(fixture, &link);
		link_undo(fixture->container, &link);
		char *after = fixture_snapshot(fixture->host);
		assert_string_equal(before, after);
		free(before);
		free(during);
		free(after);
	}
}

static void test_undo_leaves_the_container_as_it_was(void **state)
{
	const struct fixture *fixture = *state;

	fixture_sh(fixture->container, "ip link set lo up");
	const enum link_kind kinds[] = { LINK_VETH, LINK_SOCKET };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* A namespace keeps its id for the transit a moment longer: not a thing of ours. */
		char *before =
			fixture_output(fixture->container, "ip -d link; ip addr; ip route show table all; ss -Hltn");
		struct link link = fixture_link(fixture, kinds[i]);
		_cleanup_close_ int handed_on = fcntl(link.listener, F_DUPFD_CLOEXEC, 0);
		link_undo(fixture->container, &link);
		close_now(&handed_on);
		char *after =
			fixture_output(fixture->container, "ip -d link; ip addr; ip route show table all; ss -Hltn");
		assert_string_equal(before, after);
		free(before);
		free(after);
		link_undo(fixture->container, &link); /* once more is nothing */
	}
}

static void test_undo_removes_what_others_hold(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int keeper = fcntl(link.listener, F_DUPFD_CLOEXEC, 0);

	assert_true(keeper >= 0);
	link_undo(fixture->container, &link);
	assert_false(fixture_has_link(fixture->container, LINK_NAME));
}

static void test_other_ports_and_addresses_fail_at_once(void **state)
{
	const struct fixture *fixture = *state;
	const struct {
		int family;
		const char *address;
		uint16_t port;
		int errnum;
	} tries[] = {
		{ AF_INET, "198.18.0.2", FIXTURE_PORT, 0 },
		{ AF_INET, "198.18.0.2", 22, ECONNREFUSED },
		{ AF_INET, "198.18.0.2", FIXTURE_PORT + 1, ECONNREFUSED },
		{ AF_INET, "198.18.0.4", FIXTURE_PORT, ENETUNREACH },
		{ AF_INET, FIXTURE_INTERNET, 443, ENETUNREACH },
		{ AF_INET6, "2001:db8::1", 443, ENETUNREACH },
		{ AF_INET6, "fe80::1", FIXTURE_PORT, ENETUNREACH },
	};
	fixture_sh(fixture->container, "ip link set lo up");
	struct link link = fixture_link(fixture, LINK_VETH);

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		int ms = -1;
		int errnum = fixture_try(fixture->container, tries[i].family, tries[i].address, tries[i].port, &ms);
		/* fe80:: without IPv6 on the interface has no address to come from. */
		if (errnum != tries[i].errnum && !(tries[i].family == AF_INET6 && errnum == EADDRNOTAVAIL))
			fail_msg("%s:%u: %s", tries[i].address, tries[i].port, strerror(errnum));
		assert_true(ms < AT_ONCE_MS);
	}
	link_undo(fixture->container, &link);
}

static int watch_here(void *arg, struct error *err)
{
	return netlink_watch(arg, err);
}

static int is_gone_here(void *arg, struct error *err)
{
	int r = look_here(arg, err);
	return r == -ENODEV ? 1 : r;
}

static int is_gone(void *arg, struct error *err)
{
	struct look look = { .name = LINK_NAME };
	return netns_call(((const struct fixture *) arg)->container, is_gone_here, &look, err);
}

/* Closes what is left of the link by closing fds, and sees oe0 go. */
static void assert_goes_with(struct fixture *fixture, int *fds, size_t n)
{
	_cleanup_close_ int watch = -1;
	struct error err = { .code = 0 };

	assert_int_equal(netns_call(fixture->container, watch_here, &watch, &err), 0);
	assert_int_equal(is_gone(fixture, &err), 0);
	for (size_t i = 0; i < n; i++)
		close_now(&fds[i]);
	int64_t start = fixture_now_ms();
	int r = netlink_await(watch, 5 * GONE_MS, is_gone, fixture, &err);
	int64_t ms = fixture_now_ms() - start;
	assert_int_equal(r, 1);
	if (ms > GONE_MS)
		fail_msg("oe0 was there for another %d ms", (int) ms);
}

static void test_link_goes_with_its_last_descriptor(void **state)
{
	struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int client = -1;
	int fds[2] = { -1, -1 };

	fixture_connect(fixture, &link, &client, &fds[0]);
	fds[1] = TAKE_FD(link.listener);
	assert_goes_with(fixture, fds, ARRAY_SIZE(fds));
}

static void test_accepted_socket_keeps_the_link(void **state)
{
	struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int client = -1;
	int server = -1;

	fixture_connect(fixture, &link, &client, &server);
	link_release(&link);
	assert_int_equal(link.listener, -1);
	assert_echo(client, server);
	assert_goes_with(fixture, &server, 1);
}

static void test_link_goes_though_a_client_reads_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int client = -1;
	int fds[2] = { -1, -1 };
	static const char bytes[65536];

	fixture_connect(fixture, &link, &client, &fds[0]);
	fds[1] = TAKE_FD(link.listener);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	while (write(fds[0], bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_goes_with(fixture, fds, ARRAY_SIZE(fds));
}

static void test_oe0_of_before_is_awaited(void **state)
{
	const struct fixture *fixture = *state;

	for (int i = 0; i < 10; i++) {
		struct link link = fixture_link(fixture, LINK_VETH);
		link_release(&link); /* the kernel takes it away, later */
	}
}

static void test_oe0_of_others_is_never_adopted(void **state)
{
	const struct fixture *fixture = *state;
	char command[128];
	struct error err;

	(void) snprintf(command, sizeof(command),
		"ip link add d1 type veth peer name " LINK_NAME " netns /proc/%d/fd/%d", (int) getpid(),
		fixture->container);
	fixture_sh(fixture->host, command);
	int64_t start = fixture_now_ms();
	assert_int_equal(link_make_in(fixture, fixture->container, LINK_AUTO, &err), -EEXIST);
	int64_t ms = fixture_now_ms() - start;
	assert_true(err.closed);
	assert_true(ms >= 1000 && ms < 2000);
	assert_true(fixture_has_link(fixture->container, LINK_NAME));
}

/* A name that is taken after the check: only making the link tells, and never makes do with what it finds. */
static void test_oe0_taken_after_the_check(void **state)
{
	const struct fixture *fixture = *state;
	struct error err = { .code = 0 };
	struct link_config config = fixture->config;
	struct link link;

	assert_int_equal(link_check(fixture->container, NULL, &err), 0);
	fixture_sh(fixture->container,
		"ip link add d0 type veth peer name d1; ip link property add dev d0 altname " LINK_NAME);
	config.kind = LINK_AUTO;
	assert_int_equal(link_make(fixture->container, &config, &link, &err), -EEXIST);
	assert_true(err.closed);
}

static void assert_foreign(const char *command, int expected)
{
	struct fixture *fixture = NULL;
	struct error err;
	const enum link_kind kinds[] = { LINK_VETH, LINK_SOCKET, LINK_AUTO };

	assert_int_equal(fixture_setup((void **) &fixture), 0);
	fixture_sh(fixture->container, command);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int r = link_make_in(fixture, fixture->container, kinds[i], &err);
		if (r != expected)
			fail_msg("%s: %d %s", command, r, err.msg);
		assert_true(r == 0 || err.closed);
		assert_true(r == 0 || (strstr(err.msg, ": d0 (") && strstr(err.msg, "--network none")));
	}
	assert_int_equal(fixture_teardown((void **) &fixture), 0);
}

/* Down or up: who is root in there raises what is down. */
static void test_interfaces_that_may_lead_elsewhere_are_refused(void **state)
{
	static const char *const commands[] = {
		"ip link add d1 type veth peer name d0",
		"ip link add d1 type veth peer name d0; ip link set d0 up",
		"ip link add d1 type veth peer name d0; ip addr add 198.51.100.3/24 dev d0",
		"ip link add d1 type veth peer name d0; ip -6 addr add 2001:db8::1/64 dev d0",
		"ip link add d1 type veth peer name d0; ip link set d0 up; ip route add default dev d0",
		/* an alternative name is not what an interface is called */
		"ip link add d1 type veth peer name d0; ip link property add dev d0 altname oe0",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		assert_foreign(commands[i], -EBUSY);
}

static void assert_refused_in(const struct fixture *fixture, int container)
{
	struct error err;

	assert_true(fixture_has_link(container, "d0"));
	assert_int_equal(link_make_in(fixture, container, LINK_VETH, &err), -EBUSY);
	assert_true(err.closed);
	fixture_sh(fixture->host, "ip link del d9");
}

/* An end of a veth and a macvlan, both of interfaces in another namespace, both down. */
static void test_ends_of_other_namespaces_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int container = fixture_netns();
	char command[256];

	(void) snprintf(command, sizeof(command), "ip link add d9 type veth peer name d0 netns /proc/%d/fd/%d",
		(int) getpid(), container);
	fixture_sh(fixture->host, command);
	assert_refused_in(fixture, container);

	(void) snprintf(command, sizeof(command),
		"ip link add d8 type veth peer name d9; ip link add link d8 name d0 netns /proc/%d/fd/%d type macvlan",
		(int) getpid(), container);
	fixture_sh(fixture->host, command);
	assert_refused_in(fixture, container);
}

static void test_what_leads_nowhere_is_not(void **state)
{
	(void) state;
	assert_foreign("true", 0);
	assert_foreign("ip link set lo up; ip addr add 198.51.100.3/32 dev lo", 0);
	assert_foreign("ip route add blackhole 203.0.113.0/24; ip -6 route add unreachable default", 0);
	assert_foreign("ip rule add from all lookup 100; ip route add throw default table 100", 0);
}

static void test_own_namespace_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct error err;

	assert_int_equal(link_make_in(fixture, fixture->host, LINK_VETH, &err), -EXDEV);
	assert_true(err.closed);
	assert_int_equal(link_make_in(fixture, fixture->host, LINK_SOCKET, &err), -EXDEV);
	assert_true(err.closed);
}

static void test_loopback_port_taken_is_closed(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int fd = -1;
	struct error err;
	const struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(FIXTURE_PORT) };

	assert_int_equal(netns_socket(fixture->container, AF_INET, SOCK_STREAM, 0, &fd, &err), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *) &sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(link_make_in(fixture, fixture->container, LINK_SOCKET, &err), -EADDRINUSE);
	assert_true(err.closed);
	char *lo = fixture_output(fixture->container, "ip -o link show lo up; ip -o addr");
	assert_string_equal(lo, "");
	free(lo);
}

/* As on a host that lets nobody make a network namespace. */
static void refuse_unshare(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_unshare, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(100);
}

/* What link_make() says without unshare(2): the kind that was made, or 10 + closed where it failed with EPERM. */
static int kind_without_unshare(const struct fixture *fixture, enum link_kind kind)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct link_config config = fixture->config;
		struct link link;
		struct error err = { .code = 0 };

		refuse_unshare();
		config.kind = kind;
		int r = link_make(fixture->container, &config, &link, &err);
		_exit(r == 0 ? (int) link.kind : r == -EPERM ? 10 + err.closed : 20);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_auto_falls_back_where_no_veth_can_be_made(void **state)
{
	const struct fixture *fixture = *state;

	assert_int_equal(kind_without_unshare(fixture, LINK_VETH), 10);
	assert_int_equal(kind_without_unshare(fixture, LINK_AUTO), LINK_SOCKET);
}

static void test_auto_prefers_veth(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_AUTO);

	assert_int_equal(link.kind, LINK_VETH);
	link_undo(fixture->container, &link);
}

/* What goes wrong after the veth was made takes the veth with it. */
static void test_failure_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct error err;

	fixture->config.prefix = 77; /* no such thing: the kernel refuses the address */
	assert_int_equal(link_make_in(fixture, fixture->container, LINK_VETH, &err), -EINVAL);
	assert_false(fixture_has_link(fixture->container, LINK_NAME));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_veth_carries_bytes),
		TEST(test_prefix_30_works_too),
		TEST(test_socket_carries_bytes),
		TEST(test_socket_leaves_a_raised_lo_up),
		TEST(test_listener_is_as_promised),
		TEST(test_both_ends_are_up_from_the_start),
		TEST(test_transit_holds_nothing_else),
		TEST(test_container_gets_oe0_and_no_more),
		TEST(test_nothing_appears_on_the_host),
		TEST(test_undo_leaves_the_container_as_it_was),
		TEST(test_undo_removes_what_others_hold),
		TEST(test_other_ports_and_addresses_fail_at_once),
		TEST(test_link_goes_with_its_last_descriptor),
		TEST(test_accepted_socket_keeps_the_link),
		TEST(test_link_goes_though_a_client_reads_nothing),
		TEST(test_oe0_of_before_is_awaited),
		TEST(test_oe0_of_others_is_never_adopted),
		TEST(test_oe0_taken_after_the_check),
		TEST(test_interfaces_that_may_lead_elsewhere_are_refused),
		TEST(test_ends_of_other_namespaces_are_refused),
		TEST(test_what_leads_nowhere_is_not),
		TEST(test_own_namespace_is_refused),
		TEST(test_loopback_port_taken_is_closed),
		TEST(test_auto_falls_back_where_no_veth_can_be_made),
		TEST(test_auto_prefers_veth),
		TEST(test_failure_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
