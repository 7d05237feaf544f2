/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for a name, who is told what and when, and what is asked at all: with name servers of the test's own in a
 * network namespace of its own. Which server is asked when, test_query.c tests.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "proxy/resolver.h"
#include "tests/proxy/dns.h"

#define WAIT_MS 20000
#define SERVED 2
#define ASKED_MAX 2048
#define A 1
#define AAAA 28

static int udp[SERVED];
static struct resolver *resolver;

/* What servers were asked, and was not answered yet. */
struct query {
	int server;
	struct sockaddr_in from;
	unsigned id;
	unsigned type;
	char name[256];
};
static struct query asked[ASKED_MAX], seen[ASKED_MAX];
static size_t n_asked, n_seen;

/* What became of a look-up. */
struct result {
	struct lookup *lookup;
	bool is_done;
	enum reason reason;
	char addresses[512];
	int64_t at_ms;
	void (*then)(void); /* from within done */
};

static int64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_done(void *arg, enum reason reason, const struct address *addresses, size_t n)
{
	struct result *result = arg;
	struct text text = text_init(result->addresses, sizeof(result->addresses));
	assert_false(result->is_done);
	assert_int_equal(n > 0, reason == REASON_NONE);
	for (size_t i = 0; i < n; i++) {
		char address[ADDRESS_TEXT_MAX];
		address_format(&addresses[i], address);
		text_add(&text, "%s%s", i ? " " : "", address);
	}
	result->is_done = true;
	result->reason = reason;
	result->at_ms = clock_ms();
	if (result->then)
		result->then();
}

static void look_up(struct result *result, const char *name)
{
	struct host host;
	assert_null(host_parse(name, strlen(name), &host));
	result->is_done = false;
	result->addresses[0] = '\0';
	resolver_start(resolver, &host, on_done, result, &result->lookup);
	assert_int_equal(result->lookup == NULL, result->is_done);
}

/* -- the servers -- */

/* On a slow machine a query may come again, from the same port with the same id. */
static bool is_new(const struct query *query)
{
	for (size_t i = 0; i < n_seen; i++)
		if (seen[i].server == query->server && seen[i].id == query->id && seen[i].type == query->type &&
			strcmp(seen[i].name, query->name) == 0)
			return false;
	assert_in_range(n_seen, 0, ASKED_MAX - 1);
	seen[n_seen++] = *query;
	return true;
}

static void take(int server)
{
	uint8_t bytes[512];
	struct query *query = &asked[n_asked];
	socklen_t len = sizeof(query->from);
	ssize_t n = recvfrom(udp[server], bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *) &query->from, &len);
	if (n < 0)
		return;
	assert_in_range(n, 12 + 4, sizeof(bytes));
	assert_in_range(n_asked, 0, ASKED_MAX - 2);
	query->server = server;
	query->id = (unsigned) (bytes[0] << 8 | bytes[1]);
	query->type = bytes[n - 3];
	char *to = query->name;
	for (size_t at = 12; bytes[at]; at += 1u + bytes[at]) {
		memcpy(to, &bytes[at + 1], bytes[at]);
		to += bytes[at];
		*to++ = '.';
	}
	to[-1] = '\0';
	n_asked += is_new(query);
}

/* One turn of the loop. */
static void turn(void)
{
	struct pollfd pfds[1 + SERVED] = { { .fd = resolver_fd(resolver), .events = POLLIN } };
	for (int i = 0; i < SERVED; i++)
		pfds[1 + i] = (struct pollfd){ .fd = udp[i], .events = POLLIN };
	int timeout_ms = resolver_timeout_ms(resolver);
	int n = poll(pfds, ARRAY_SIZE(pfds), timeout_ms >= 0 ? timeout_ms : WAIT_MS);
	assert_true(n > 0 || timeout_ms >= 0);
	for (int i = 0; i < SERVED; i++)
		if (pfds[1 + i].revents)
			take(i);
	if (pfds[0].revents || n == 0)
		resolver_process(resolver);
}

static void wait_asked(size_t n)
{
	while (n_asked < n)
		turn();
	assert_int_equal(n_asked, n);
}

static void wait_done(const struct result *result)
{
	while (!result->is_done)
		turn();
}

/* Answers what was asked of name and type; records NULL: there is nothing, for soa_s seconds. */
static void answer(const char *name, unsigned type, const char *record, unsigned soa_s)
{
	for (size_t i = 0; i < n_asked; i++) {
		const struct query query = asked[i];
		if (strcmp(query.name, name) != 0 || query.type != type)
			continue;
		struct message message;
		char soa[32];
		(void) snprintf(soa, sizeof(soa), "test SOA 3600 %u", soa_s);
		message_begin(&message, query.id, 0x8180, name, type);
		if (record)
			message_add_text(&message, MESSAGE_ANSWERS, record);
		else
			message_add_text(&message, MESSAGE_AUTHORITIES, soa);
		ssize_t n = sendto(udp[query.server], message.bytes, message.len, 0,
			(const struct sockaddr *) &query.from, sizeof(query.from));
		assert_int_equal(n, message.len);
		asked[i] = asked[--n_asked];
		return;
	}
	fail_msg("nobody asked for %s", name);
}

#define A_TEST "a.test A 60 198.51.100.1"
#define AAAA_TEST "a.test AAAA 60 2001:db8::1"

static void configure(const char *resolvconf, const char *hosts)
{
	static char texts[2][2][256];
	static unsigned version;
	char(*kept)[256] = texts[version++ % 2];
	(void) snprintf(kept[0], sizeof(kept[0]), "%s", resolvconf);
	(void) snprintf(kept[1], sizeof(kept[1]), "%s", hosts ? hosts : "");
	assert_int_equal(
		resolver_configure(resolver, kept[0], strlen(kept[0]), hosts ? kept[1] : NULL, strlen(kept[1]), NULL),
		0);
	/* what the last call was given is gone */
	memset(texts[version % 2], 'x', sizeof(texts[0]));
}

#define FIRST "nameserver 127.0.0.1\n"
#define SECOND "nameserver 127.0.0.2\n"

static void expect(const struct result *result, enum reason reason, const char *addresses)
{
	assert_true(result->is_done);
	assert_int_equal(result->reason, reason);
	assert_string_equal(result->addresses, addresses);
}

/* -- tests -- */

static void test_both_families(void **state)
{
	(void) state;
	struct result result = { 0 };
	look_up(&result, "a.test");
	wait_asked(2);
	answer("a.test", A, A_TEST, 0);
	answer("a.test", AAAA, AAAA_TEST, 0);
	wait_done(&result);
	expect(&result, REASON_NONE, "2001:db8::1 198.51.100.1");
	/* and again, without asking */
	look_up(&result, "a.test");
	expect(&result, REASON_NONE, "2001:db8::1 198.51.100.1");
	const struct resolver_counters counters = resolver_counters(resolver);
	assert_int_equal(counters.lookups, 2);
	assert_int_equal(counters.known, 1);
	assert_int_equal(n_seen, 2);
	assert_in_range(counters.queries, 2, 2 * 7);
	assert_int_equal(resolver_timeout_ms(resolver), -1);
}

static void test_who_comes_meanwhile_waits_for_the_same_answer(void **state)
{
	(void) state;
	struct result results[100] = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		look_up(&results[i], i % 2 ? "a.test" : "A.TEST.");
	wait_asked(2);
	answer("a.test", A, A_TEST, 0);
	answer("a.test", AAAA, NULL, 30);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		wait_done(&results[i]);
		expect(&results[i], REASON_NONE, "198.51.100.1");
	}
	assert_int_equal(n_asked, 0);
	assert_int_equal(resolver_counters(resolver).shared, ARRAY_SIZE(results) - 1);
}

static void test_nothing_is_remembered_too(void **state)
{
	(void) state;
	struct result result = { 0 };
	look_up(&result, "a.test");
	wait_asked(2);
	answer("a.test", A, NULL, 30);
	answer("a.test", AAAA, NULL, 30);
	wait_done(&result);
	expect(&result, REASON_RESOLVE_FAILED, "");
	look_up(&result, "a.test");
	expect(&result, REASON_RESOLVE_FAILED, "");
}

static void test_what_is_not_to_be_kept(void **state)
{
	(void) state;
	struct result result = { 0 };
	for (int i = 0; i < 3; i++) {
		look_up(&result, "a.test");
		wait_asked(2);
		answer("a.test", A, "a.test A 0 198.51.100.1", 0);
		answer("a.test", AAAA, NULL, 0);
		wait_done(&result);
		expect(&result, REASON_NONE, "198.51.100.1");
	}
}

/* RFC 8305 section 3 */
static void test_the_second_family_has_a_moment(void **state)
{
	(void) state;
	struct result result = { 0 }, next = { 0 };
	look_up(&result, "a.test");
	wait_asked(2);
	int64_t began_ms = clock_ms();
	answer("a.test", A, A_TEST, 0);
	wait_done(&result);
	expect(&result, REASON_NONE, "198.51.100.1");
	assert_in_range(result.at_ms - began_ms, RESOLVER_DELAY_MS, WAIT_MS);
	/* it has had it: nobody waits again, nor asks */
	look_up(&next, "a.test");
	expect(&next, REASON_NONE, "198.51.100.1");
	assert_int_equal(n_asked, 1);
	/* and what comes late is there for the next */
	answer("a.test", AAAA, AAAA_TEST, 0);
	while (resolver_timeout_ms(resolver) >= 0)
		turn();
	look_up(&next, "a.test");
	expect(&next, REASON_NONE, "2001:db8::1 198.51.100.1");
}

/* Though the question is open still, what was for those who asked is not for those who come later. */
static void test_the_second_family_is_late_and_the_first_was_not_to_be_kept(void **state)
{
	(void) state;
	struct result result = { 0 };
	look_up(&result, "a.test");
	wait_asked(2);
	answer("a.test", A, "a.test A 0 198.51.100.1", 0);
	wait_done(&result);
	expect(&result, REASON_NONE, "198.51.100.1");
	look_up(&result, "a.test");
	assert_false(result.is_done);
	wait_asked(2);
	answer("a.test", A, "a.test A 0 198.51.100.2", 0);
	wait_done(&result);
	expect(&result, REASON_NONE, "198.51.100.2");
}

static void test_nothing_of_one_family_waits_for_the_other(void **state)
{
	(void) state;
	struct result result = { 0 };
	look_up(&result, "a.test");
	wait_asked(2);
	answer("a.test", AAAA, NULL, 30);
	int64_t until_ms = clock_ms() + 3 * RESOLVER_DELAY_MS;
	while (clock_ms() < until_ms) {
		struct pollfd pfd = { .fd = resolver_fd(resolver), .events = POLLIN };
		(void) poll(&pfd, 1, (int) (until_ms - clock_ms()));
		resolver_process(resolver);
	}
	assert_false(result.is_done);
	answer("a.test", A, A_TEST, 0);
	wait_done(&result);
	expect(&result, REASON_NONE, "198.51.100.1");
}

static void test_slow_names_hold_up_no_others(void **state)
{
	(void) state;
	struct result slow[60] = { 0 }, result = { 0 };
	for (unsigned i = 0; i < ARRAY_SIZE(slow); i++) {
		char name[16];
		(void) snprintf(name, sizeof(name), "slow%u.test", i);
		look_up(&slow[i], name);
	}
	wait_asked(2 * ARRAY_SIZE(slow));
	look_up(&result, "a.test");
	wait_asked(2 * ARRAY_SIZE(slow) + 2);
	answer("a.test", A, A_TEST, 0);
	answer("a.test", AAAA, NULL, 30);
	wait_done(&result);
	expect(&result, REASON_NONE, "198.51.100.1");
	for (unsigned i = 0; i < ARRAY_SIZE(slow); i++)
		assert_false(slow[i].is_done);
}

static void test_the_limit(void **state)
{
	(void) state;
	struct result results[3] = { 0 }, again = { 0 }, over = { 0 };
	static const char *const names[] = { "a.test", "b.test", "c.test" };
	resolver_limit(resolver, 3);
	for (int i = 0; i < 3; i++)
		look_up(&results[i], names[i]);
	look_up(&over, "d.test");
	expect(&over, REASON_LIMIT_LOOKUPS, "");
	look_up(&again, "a.test"); /* one of the three */
	assert_false(again.is_done);

	/* a name that nobody waits for any more makes room */
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	assert_int_equal(resolver_cancel(results[1].lookup, addresses), 0);
	look_up(&over, "d.test");
	assert_false(over.is_done);
	look_up(&results[1], "e.test");
	expect(&results[1], REASON_LIMIT_LOOKUPS, "");
	/* and one that is answered */
	wait_asked(8);
	answer("c.test", A, NULL, 30);
	answer("c.test", AAAA, NULL, 30);
	wait_done(&results[2]);
	look_up(&results[1], "e.test");
	assert_false(results[1].is_done);
	resolver_limit(resolver, 1); /* takes nothing away */
	assert_false(results[0].is_done || over.is_done);
}

static void test_who_gives_up_is_not_told(void **state)
{
	(void) state;
	struct result given_up = { 0 }, patient = { 0 };
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	look_up(&given_up, "a.test");
	look_up(&patient, "a.test");
	wait_asked(2);
	answer("a.test", A, A_TEST, 0);
	turn();
	assert_int_equal(resolver_cancel(given_up.lookup, addresses), 1); /* what has come is his */
	answer("a.test", AAAA, NULL, 30);
	wait_done(&patient);
	assert_false(given_up.is_done);
}

static void test_hosts_come_first(void **state)
{
	(void) state;
	struct result result = { 0 };
	configure(FIRST, "198.51.100.9 a.test\n");
	look_up(&result, "a.test");
	expect(&result, REASON_NONE, "198.51.100.9");
	configure(FIRST, "198.51.100.10 a.test\n");
	look_up(&result, "a.test");
	expect(&result, REASON_NONE, "198.51.100.10");
	assert_int_equal(resolver_counters(resolver).queries, 0);
	configure(FIRST, NULL);
	look_up(&result, "a.test");
	assert_false(result.is_done);
	wait_asked(2);
}

static void test_other_hosts_change_nothing_else(void **state)
{
	(void) state;
	struct result known = { 0 }, open = { 0 };
	look_up(&known, "a.test");
	wait_asked(2);
	answer("a.test", A, A_TEST, 0);
	answer("a.test", AAAA, NULL, 30);
	wait_done(&known);
	look_up(&open, "b.test");
	wait_asked(2);
	configure("# another text\n" FIRST, "198.51.100.9 c.test\n");
	look_up(&known, "a.test");
	expect(&known, REASON_NONE, "198.51.100.1");
	answer("b.test", A, "b.test A 60 198.51.100.2", 0);
	answer("b.test", AAAA, NULL, 30);
	wait_done(&open);
	expect(&open, REASON_NONE, "198.51.100.2");
	assert_int_equal(n_seen, 4);
}

static void test_other_servers(void **state)
{
	(void) state;
	struct result known = { 0 }, open = { 0 }, half = { 0 }, given_up = { 0 };
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	look_up(&known, "a.test");
	wait_asked(2);
	answer("a.test", A, A_TEST, 0);
	answer("a.test", AAAA, NULL, 30);
	wait_done(&known);
	look_up(&open, "b.test");
	look_up(&half, "c.test");
	look_up(&given_up, "d.test");
	wait_asked(6);
	answer("c.test", AAAA, NULL, 30);
	turn();
	(void) resolver_cancel(given_up.lookup, addresses);

	/* those who wait get the new one's answer, and what was known is asked for again */
	size_t before = n_asked;
	configure(SECOND, NULL);
	assert_int_equal(resolver_timeout_ms(resolver), 0);
	wait_asked(before + 4);
	for (size_t i = before; i < n_asked; i++)
		assert_int_equal(asked[i].server, 1);
	memmove(asked, asked + before, 4 * sizeof(asked[0]));
	n_asked = 4;
	answer("b.test", A, "b.test A 60 198.51.100.2", 0);
	answer("b.test", AAAA, NULL, 30);
	answer("c.test", A, "c.test A 60 198.51.100.3", 0);
	answer("c.test", AAAA, NULL, 30);
	wait_done(&open);
	wait_done(&half);
	expect(&open, REASON_NONE, "198.51.100.2");
	expect(&half, REASON_NONE, "198.51.100.3");
	look_up(&known, "a.test");
	assert_false(known.is_done);
	wait_asked(2);
	assert_int_equal(asked[0].server, 1);
}

static void test_again_and_again_other_servers(void **state)
{
	(void) state;
	struct result results[20] = { 0 };
	for (unsigned i = 0; i < 200; i++) {
		char name[16];
		(void) snprintf(name, sizeof(name), "n%u.test", i % 20);
		struct result *result = &results[i % 20];
		if (i >= 20 && !result->is_done) {
			struct address addresses[RESOLVER_ADDRESSES_MAX];
			(void) resolver_cancel(result->lookup, addresses);
		}
		look_up(result, name);
		configure(i % 2 ? FIRST : SECOND FIRST, i % 3 ? NULL : "198.51.100.9 n3.test\n");
		if (i % 5 == 0)
			resolver_process(resolver);
	}
}

static void test_bad_hosts_change_nothing(void **state)
{
	(void) state;
	static const char text[] = FIRST;
	struct error err;
	struct result result = { 0 };
	configure(FIRST, "198.51.100.9 a.test\n");
	assert_int_equal(resolver_configure(resolver, text, strlen(text), "", (16u << 20) + 1, &err), -EFBIG);
	look_up(&result, "a.test");
	expect(&result, REASON_NONE, "198.51.100.9");
}

static struct result inner;

static void look_up_same(void)
{
	look_up(&inner, "a.test");
}

static void look_up_other(void)
{
	resolver_limit(resolver, 1);
	look_up(&inner, "b.test");
}

static void test_who_is_told_may_ask(void **state)
{
	(void) state;
	for (int i = 0; i < 4; i++) {
		struct result result = { .then = i % 2 ? look_up_other : look_up_same }, second = { 0 };
		inner = (struct result){ 0 };
		resolver_limit(resolver, 64);
		look_up(&result, "a.test");
		look_up(&second, "a.test");
		wait_asked(2);
		answer("a.test", A, "a.test A 0 198.51.100.1", 0);
		if (i < 2)
			answer("a.test", AAAA, NULL, 0);
		wait_done(&second);
		expect(&result, REASON_NONE, "198.51.100.1");
		if (i % 2 == 0)
			assert_true(inner.is_done || inner.lookup);
		else if (i == 1)
			expect(&inner, REASON_LIMIT_LOOKUPS, "");
		if (!inner.is_done && inner.lookup) {
			struct address addresses[RESOLVER_ADDRESSES_MAX];
			(void) resolver_cancel(inner.lookup, addresses);
		}
		configure(SECOND, NULL); /* a clean slate */
		configure(FIRST, NULL);
		resolver_process(resolver);
		for (int j = 0; j < 64; j++) {
			take(0);
			take(1);
		}
		n_asked = 0;
	}
}

static int setup(void **state)
{
	(void) state;
	if (resolver_new(&resolver, NULL) < 0)
		return -1;
	configure(FIRST, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	resolver_free(resolver);
	for (int i = 0; i < SERVED; i++)
		while (recv(udp[i], &(char){ 0 }, 1, MSG_DONTWAIT) >= 0)
			;
	n_asked = n_seen = 0;
	return 0;
}

static int start_servers(void **state)
{
	(void) state;
	for (int i = 0; i < SERVED; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET,
			.sin_port = htons(53),
			.sin_addr.s_addr = htonl(0x7f000001u + (unsigned) i) };
		udp[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (bind(udp[i], (const struct sockaddr *) &sa, sizeof(sa)) < 0)
			return -1;
	}
	return 0;
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	if (system("ip link set lo up") != 0)
		return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_both_families),
		TEST(test_who_comes_meanwhile_waits_for_the_same_answer),
		TEST(test_nothing_is_remembered_too),
		TEST(test_what_is_not_to_be_kept),
		TEST(test_the_second_family_has_a_moment),
		TEST(test_the_second_family_is_late_and_the_first_was_not_to_be_kept),
		TEST(test_nothing_of_one_family_waits_for_the_other),
		TEST(test_slow_names_hold_up_no_others),
		TEST(test_the_limit),
		TEST(test_who_gives_up_is_not_told),
		TEST(test_hosts_come_first),
		TEST(test_other_hosts_change_nothing_else),
		TEST(test_other_servers),
		TEST(test_again_and_again_other_servers),
		TEST(test_bad_hosts_change_nothing),
		TEST(test_who_is_told_may_ask),
	};
	return cmocka_run_group_tests(tests, start_servers, NULL);
}
