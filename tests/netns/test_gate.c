/* SPDX-License-Identifier: Apache-2.0 */
/* The gate's rules as the kernel has them; what they let through is tests/engines/test_gate.py's. */
#include "netns/gate.h"

#include "tests/netns/fixture.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netns/authority.h"
#include "netns/netns.h"
#include "netns/nft.h"

static struct foreign foreign(const char *name)
{
	struct foreign foreign = { .n = 1 };
	(void) snprintf(foreign.names[0], sizeof(foreign.names[0]), "%s", name);
	return foreign;
}

static void assert_rules(int netns, const char *table, const char *wanted, bool there)
{
	char command[64];
	(void) snprintf(command, sizeof(command), "nft list table %s oci_egress 2>&1 || true", table);
	_cleanup_free_ char *text = fixture_output(netns, command);
	if ((strstr(text, wanted) != NULL) != there)
		fail_msg("%s: %s:\n%s", there ? "lacks" : "has", wanted, text);
}

/* A policy is not in force yet when a gate that is replaced has gone: a chain that drops says so by its last rule too.
 */
static void assert_chains_end_with_drop(int netns, unsigned wanted)
{
	static const char policy[] = "policy drop;", last[] = "\n\t\tdrop\n\t}";
	_cleanup_free_ char *text = fixture_output(netns, "nft list ruleset");
	unsigned chains = 0;
	for (const char *chain = strstr(text, policy); chain; chain = strstr(chain + 1, policy)) {
		const char *end = strstr(chain, "\n\t}");
		assert_non_null(end);
		end += strlen("\n\t}");
		if (strncmp(end - strlen(last), last, strlen(last)) != 0)
			fail_msg("no drop at the end:\n%s", chain);
		chains++;
	}
	assert_in_range(chains, wanted, 64);
}

static void test_raise_replace_remove(void **state)
{
	const struct fixture *fixture = *state;
	const struct foreign eth0 = foreign("eth0");
	const struct network direct[] = { { { AF_INET, { 10, 1 } }, 16 }, { { AF_INET, { 169, 254, 169, 254 } }, 32 } };
	struct gate_config config = { .foreign = &eth0, .direct = direct, .n_direct = 2, .inbound = true };
	struct error err = { .code = 0 };
	bool made = false;

	fixture_sh(fixture->container, "ip link add eth0 type veth peer name eth1");
	if (gate_raise(fixture->container, &config, &made, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(made);
	assert_rules(fixture->container, "inet", "ip daddr 10.1.0.0/16 accept", true);
	assert_rules(fixture->container, "inet", "ip daddr 169.254.169.254 accept", true);
	assert_rules(fixture->container, "inet",
		"ip daddr 169.254.169.254 accept\n\t\tip daddr 100.100.100.200 return\n", true);
	assert_rules(fixture->container, "inet", "ip6 daddr fe80::a9fe:0/112 return\n\t\tip daddr 10.1.0.0/16 accept\n",
		true);
	assert_rules(fixture->container, "inet", "ip daddr 127.0.0.11 return", true);
	assert_rules(fixture->container, "netdev", "device \"eth0\"", true);

	assert_rules(fixture->container, "inet", "hook output priority -450;", true);
	assert_chains_end_with_drop(fixture->container, 4);

	config = (struct gate_config){ .foreign = &eth0 };
	assert_int_equal(gate_raise(fixture->container, &config, &made, &err), 0);
	assert_chains_end_with_drop(fixture->container, 5);
	assert_false(made);
	assert_rules(fixture->container, "inet", "10.1.0.0/16", false);
	assert_rules(fixture->container, "inet", "ct mark", false);
	gate_remove(fixture->container);
	assert_rules(fixture->container, "inet", "chain", false);
	assert_rules(fixture->container, "netdev", "chain", false);
}

/* Everything or nothing: what cannot be closed leaves no half of a gate. */
static void test_what_cannot_be_closed(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const names[] = { "gone0", "a\"b", "a*", "" };
	bool made = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct foreign device = foreign(names[i]);
		struct gate_config config = { .foreign = &device };
		struct error err = { .code = 0 };
		int r = gate_raise(fixture->container, &config, &made, &err);
		if (i == 0 && r == 0) { /* Linux 6.16 waits for it to come */
			gate_remove(fixture->container);
			continue;
		}
		assert_int_equal(r, i == 0 ? -ENODEV : -EINVAL);
		assert_true(err.closed);
		assert_rules(fixture->container, "inet", "chain", false);
	}
}

static int raise_from(void *arg, struct error *err)
{
	const struct foreign none = { .n = 0 };
	const struct gate_config config = { .foreign = &none };
	const int *netns = arg;
	bool made;
	return gate_raise(*netns, &config, &made, err);
}

/* Names that engines give, and those of the host's uplinks; no others. */
static void test_what_may_come(void **state)
{
	const struct fixture *fixture = *state;
	int container = fixture->container;
	struct error err = { .code = 0 };
	fixture_sh(fixture->host,
		"ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; ip route add default "
		"dev up0 metric 77; ip link add six0 type veth peer name six1; ip link set six0 up; ip link set six1 "
		"up; "
		"ip -6 route add default dev six0; ip -6 route add unreachable default metric 9999");
	assert_int_equal(netns_call(fixture->host, raise_from, &container, &err), 0);
	_cleanup_free_ char *text = fixture_output(fixture->container, "nft list table netdev oci_egress");
	if (!strstr(text, "device \"eth0\"")) {
		assert_null(strstr(text, "device")); /* before Linux 6.16 it waits for none */
		return;
	}
	static const struct {
		const char *name;
		bool wanted;
	} names[] = { { "eth3", true }, { "tap0", true }, { "up0", true }, { "six0", true }, { "up1", false },
		{ "lo", false } };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char device[32];
		(void) snprintf(device, sizeof(device), "device \"%s\"", names[i].name);
		if ((strstr(text, device) != NULL) != names[i].wanted)
			fail_msg("%s: %s", names[i].name, text);
	}
}

static int load(void *arg, struct error *err)
{
	return nft_load(arg, err);
}

static int has_chain(void *arg, struct error *err)
{
	return nft_has_chain(NFPROTO_INET, "t", arg, err);
}

static void test_nft(void **state)
{
	const struct fixture *fixture = *state;
	char create[] = "create table inet t\ntable inet t {\nchain c { type filter hook output priority 0; }\n}\n";
	char none[] = "delete table inet none\n", wrong[] = "table inet \x01 {\n";
	char here[] = "c", other[] = "d";
	struct error err = { .code = 0 };

	assert_int_equal(netns_call(fixture->container, has_chain, here, &err), 0);
	assert_int_equal(netns_call(fixture->container, load, create, &err), 0);
	assert_int_equal(netns_call(fixture->container, has_chain, here, &err), 1);
	assert_int_equal(netns_call(fixture->container, has_chain, other, &err), 0);
	assert_int_equal(netns_call(fixture->host, has_chain, here, &err), 0);
	assert_int_equal(netns_call(fixture->container, load, create, &err), -EEXIST);
	assert_int_equal(netns_call(fixture->container, load, none, &err), -ENODEV);
	assert_int_equal(netns_call(fixture->container, load, wrong, &err), -EIO);
	assert_non_null(strstr(err.msg, "nft, status 1: "));
	for (const char *c = err.msg; *c; c++)
		assert_true(*c >= 0x20 && *c <= 0x7e);
}

/* A process in namespaces of its own: it waits for the end of its input. */
static pid_t start_in(const char *flags, int *ret_pipe)
{
	int ready[2], hold[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void) dup2(hold[0], STDIN_FILENO);
		(void) dup2(ready[1], STDOUT_FILENO);
		(void) close_range(STDERR_FILENO + 1, ~0U, 0);
		(void) execlp("unshare", "unshare", flags, "sh", "-c", "echo; exec cat", (char *) NULL);
		_exit(127);
	}
	(void) close(ready[1]);
	(void) close(hold[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void) close(ready[0]);
	*ret_pipe = hold[1];
	return pid;
}

static void test_authority(void **state)
{
	const struct fixture *fixture = *state;
	struct error err = { .code = 0 };
	enum authority authority;
	int pipe, netns;

	assert_int_equal(authority_over(fixture->container, getpid(), &authority, &err), 0);
	assert_int_equal(authority, AUTHORITY_CAPABILITIES);

	pid_t pid = start_in("-Urn", &pipe);
	assert_int_equal(authority_over(fixture->container, pid, &authority, &err), 0);
	assert_int_equal(authority, AUTHORITY_NONE);
	assert_int_equal(netns_open(pid, &netns, &err), 0);
	assert_int_equal(authority_over(netns, pid, &authority, &err), 0);
	assert_int_equal(authority, AUTHORITY_CAPABILITIES);
	assert_int_equal(authority_over(netns, getpid(), &authority, &err), 0);
	assert_int_equal(authority, AUTHORITY_ALL);
	(void) close(netns);
	(void) close(pipe);
	(void) waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_raise_replace_remove, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_closed, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_what_may_come, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_nft, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_authority, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
