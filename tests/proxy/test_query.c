/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which name server is asked when, and which answer is believed: over real sockets in a network namespace of its own,
 * by a clock that the tests turn.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/query.h"
#include "tests/proxy/dns.h"

#define WAIT_MS 20000
#define START_MS INT64_C(100000)
#define SERVED 3
#define NAME "www.a.test"

/* Name servers on 127.0.0.1, .2 and .3; on .4 and behind nobody listens. */
static int udp[SERVED], tcp[SERVED];
static struct servers servers;
static int64_t now_ms;

/* What a server was asked. */
struct seen {
	struct sockaddr_storage from;
	socklen_t from_len;
	uint8_t bytes[512];
	size_t len;
	unsigned id;
	unsigned type;
};

static void wait_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
}

static bool is_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	return poll(&pfd, 1, 0) == 1;
}

static void understand(struct seen *seen)
{
	assert_in_range(seen->len, 12 + 4, sizeof(seen->bytes));
	seen->id = (unsigned) (seen->bytes[0] << 8 | seen->bytes[1]);
	seen->type = seen->bytes[seen->len - 3];
}

static struct seen take(int server)
{
	struct seen seen = { .from_len = sizeof(seen.from) };
	wait_readable(udp[server]);
	ssize_t n = recvfrom(
		udp[server], seen.bytes, sizeof(seen.bytes), 0, (struct sockaddr *) &seen.from, &seen.from_len);
	assert_true(n > 0);
	seen.len = (size_t) n;
	understand(&seen);
	return seen;
}

static void send_back(int fd, const struct seen *seen, const void *bytes, size_t len)
{
	ssize_t n = sendto(fd, bytes, len, 0, (const struct sockaddr *) &seen->from, seen->from_len);
	assert_int_equal(n, len);
}

#define NOERROR 0x8180
#define SERVFAIL 0x8182
#define NXDOMAIN 0x8183
#define TRUNCATED 0x8380
#define ADDRESS NAME " A 60 198.51.100.1"

/* records: of the answer section, NULL: none. */
static struct message answer_to(const struct seen *seen, unsigned flags, const char *record)
{
	struct message message;
	message_begin(&message, seen->id, flags, NAME, seen->type);
	if (record)
		message_add_text(&message, MESSAGE_ANSWERS, record);
	return message;
}

static void reply(int server, const struct seen *seen, unsigned flags, const char *record)
{
	const struct message message = answer_to(seen, flags, record);
	send_back(udp[server], seen, message.bytes, message.len);
}

/* -- the side that asks -- */

static unsigned changes;

static void on_change(void *arg)
{
	(void) arg;
	changes++;
}

static void begin_with(struct query *query, uint16_t id)
{
	const uint16_t ids[SERVERS_MAX] = { id, (uint16_t) (2 * id), (uint16_t) (3 * id) };
	query_start(query, &servers, NAME, DNS_A, ids, on_change, NULL, now_ms);
	assert_false(query_run(query, now_ms));
}

static void begin(struct query *query)
{
	begin_with(query, 0x1111);
}

/* Until something has come. */
static void process(void)
{
	changes = 0;
	while (changes == 0) {
		wait_readable(servers.epoll);
		servers_process(&servers, now_ms);
	}
}

/* What is there, though it changes nothing. */
static void process_nothing(void)
{
	changes = 0;
	wait_readable(servers.epoll);
	servers_process(&servers, now_ms);
	assert_int_equal(changes, 0);
}

static void use(size_t n, ...)
{
	struct resolvconf_server where[SERVERS_MAX] = { 0 };
	va_list numbers;
	va_start(numbers, n);
	for (size_t i = 0; i < n; i++)
		where[i].address = (struct address){ AF_INET, { 127, 0, 0, (uint8_t) va_arg(numbers, int) } };
	va_end(numbers);
	servers_set(&servers, where, n);
}

static void expect(const struct query *query, enum dns_verdict verdict)
{
	assert_true(query->has_ended);
	assert_int_equal(query->answer.verdict, verdict);
	assert_int_equal(query->answer.n, verdict == DNS_ADDRESSES);
}

/* -- who is asked when -- */

static void test_the_first_answers(void **state)
{
	(void) state;
	use(3, 1, 2, 3);
	struct query query;
	begin(&query);
	const struct seen seen = take(0);
	assert_int_equal(seen.id, 0x1111);
	assert_int_equal(query_due_ms(&query), now_ms + 400);
	reply(0, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
	assert_int_equal(servers.sent, 1);
	assert_false(is_readable(udp[1]));
}

static void test_a_silent_server_costs_a_moment_and_then_nothing(void **state)
{
	(void) state;
	use(3, 1, 2, 3);
	struct query query;
	begin(&query);
	(void) take(0);
	now_ms += 399;
	assert_false(query_run(&query, now_ms));
	assert_false(is_readable(udp[1]));
	now_ms += 1;
	assert_false(query_run(&query, now_ms));
	struct seen seen = take(1);
	assert_int_equal(seen.id, 0x2222);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
	assert_true(servers_is_silent(&servers, 0));

	/* from now on the second comes first, and is believed that there is nothing */
	begin(&query);
	seen = take(1);
	reply(1, &seen, NXDOMAIN, NULL);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_NONE);
	assert_false(is_readable(udp[0]));
}

static void test_a_silent_server_is_tried_again_beside_the_others(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query query, other;
	begin(&query);
	const struct seen late = take(0);
	now_ms += 400;
	(void) query_run(&query, now_ms);
	struct seen seen = take(1);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	(void) late;

	now_ms += 29999;
	begin(&query);
	seen = take(1);
	assert_false(is_readable(udp[0]));
	reply(1, &seen, NOERROR, ADDRESS);
	process();

	now_ms += 1;
	begin(&query);
	begin(&other); /* one occasion, not one for each */
	struct seen again = take(0);
	assert_false(is_readable(udp[0]));
	seen = take(1);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	seen = take(1);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms) && query_run(&other, now_ms));
	assert_true(servers_is_silent(&servers, 0));

	/* nobody waits for what it says, but that it does is heard */
	now_ms += 1;
	reply(0, &again, NOERROR, ADDRESS);
	process_nothing();
	assert_false(servers_is_silent(&servers, 0));
	begin(&query);
	assert_int_equal(query.order[0], 0);
	query_stop(&query);
	(void) take(0);
}

static void test_a_server_that_is_slow_for_one_name_is_not_silent(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query slow, fast;
	begin(&slow);
	(void) take(0);
	now_ms += 10;
	begin_with(&fast, 0x4321);
	struct seen seen = take(0);
	reply(0, &seen, NOERROR, ADDRESS);
	process();
	now_ms += 390;
	assert_false(query_run(&slow, now_ms));
	seen = take(1);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&slow, now_ms));
	assert_false(servers_is_silent(&servers, 0));
}

static void test_a_server_that_fails_is_passed_over_at_once(void **state)
{
	(void) state;
	use(3, 1, 2, 3);
	struct query query;
	begin(&query);
	struct seen seen = take(0);
	reply(0, &seen, SERVFAIL, NULL);
	process();
	assert_false(query_run(&query, now_ms));
	seen = take(1);
	reply(1, &seen, SERVFAIL, NULL);
	process();
	assert_false(query_run(&query, now_ms));
	seen = take(2);
	reply(2, &seen, SERVFAIL, NULL);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_FAILED);
	assert_false(servers_is_silent(&servers, 0));
}

static void test_where_nobody_listens(void **state)
{
	(void) state;
	use(2, 4, 2);
	struct query query;
	begin(&query);
	process(); /* ICMP */
	assert_false(query_run(&query, now_ms));
	assert_true(servers_is_silent(&servers, 0));
	const struct seen seen = take(1);
	reply(1, &seen, NXDOMAIN, NULL);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_NONE);

	use(2, 4, 5);
	begin(&query);
	while (!query_run(&query, now_ms))
		process();
	expect(&query, DNS_FAILED);
}

static void test_where_no_way_leads(void **state)
{
	(void) state;
	const struct resolvconf_server where = { .address = { AF_INET, { 203, 0, 113, 1 } } };
	servers_set(&servers, &where, 1);
	struct query query;
	query_start(&query, &servers, NAME, DNS_A, (const uint16_t[SERVERS_MAX]){ 0 }, on_change, NULL, now_ms);
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_FAILED);
}

/* At 0, 400, 1200, 2800 and 6000 ms, with one id. */
static void test_nobody_answers(void **state)
{
	(void) state;
	use(1, 1);
	struct query query;
	int64_t began_ms = now_ms, due_ms = 0;
	static const int64_t expected_ms[] = { 0, 400, 1200, 2800, 6000 };
	begin(&query);
	for (size_t i = 0; i < ARRAY_SIZE(expected_ms); i++) {
		assert_int_equal(now_ms - began_ms, expected_ms[i]);
		const struct seen seen = take(0);
		assert_int_equal(seen.id, 0x1111);
		due_ms = query_due_ms(&query);
		now_ms = due_ms - 1;
		assert_false(query_run(&query, now_ms));
		assert_false(is_readable(udp[0]));
		now_ms = due_ms;
		(void) query_run(&query, now_ms);
	}
	assert_int_equal(now_ms - began_ms, QUERY_MS);
	expect(&query, DNS_SILENT);
	/* all that is left is forgotten by then, its sockets are closed */
	now_ms += NAME_SERVER_WAIT_MS;
	servers_process(&servers, now_ms);
	assert_int_equal(servers_due_ms(&servers), INT64_MAX);
	assert_int_equal(servers.sent, ARRAY_SIZE(expected_ms));
}

static void test_tries_are_bounded(void **state)
{
	(void) state;
	use(3, 1, 2, 3);
	struct query query;
	begin(&query);
	while (!query_run(&query, now_ms))
		now_ms = query_due_ms(&query);
	expect(&query, DNS_SILENT);
	assert_in_range(servers.sent, 4, QUERY_TRIES_MAX);
}

/* -- that there is nothing -- */

static void test_a_later_server_is_not_believed_at_once_that_there_is_nothing(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query query;
	int64_t began_ms = now_ms;
	begin(&query);
	const struct seen first = take(0);
	now_ms += 400;
	(void) query_run(&query, now_ms);
	const struct seen second = take(1);
	reply(1, &second, NXDOMAIN, NULL);
	process();
	assert_false(query_run(&query, now_ms));

	/* the first knows it */
	now_ms += 1000;
	(void) query_run(&query, now_ms);
	reply(0, &first, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
	assert_true(now_ms < began_ms + QUERY_LONG_PATIENCE_MS);
}

static void test_a_later_server_is_believed_in_time(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query query;
	int64_t began_ms = now_ms;
	begin(&query);
	now_ms += 400;
	(void) query_run(&query, now_ms);
	const struct seen second = take(1);
	reply(1, &second, NXDOMAIN, NULL);
	process();
	while (!query_run(&query, now_ms))
		now_ms = query_due_ms(&query);
	assert_int_equal(now_ms - began_ms, QUERY_LONG_PATIENCE_MS);
	expect(&query, DNS_NONE);
	assert_true(servers_is_silent(&servers, 0));
}

static void test_a_later_server_is_believed_when_the_first_has_failed(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query query;
	begin(&query);
	const struct seen first = take(0);
	now_ms += 400;
	(void) query_run(&query, now_ms);
	const struct seen second = take(1);
	reply(1, &second, NXDOMAIN, NULL);
	process();
	assert_false(query_run(&query, now_ms));
	reply(0, &first, SERVFAIL, NULL);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_NONE);
}

/* -- liars -- */

static void test_what_is_no_answer_is_passed_over(void **state)
{
	(void) state;
	use(1, 1);
	struct query query;
	begin(&query);
	const struct seen seen = take(0);
	struct seen lie = seen;
	struct message message;

	lie.id++;
	reply(0, &lie, NOERROR, ADDRESS);
	lie = seen;
	lie.type = DNS_AAAA;
	reply(0, &lie, NOERROR, ADDRESS);
	message_begin(&message, seen.id, NOERROR, "www.b.test", DNS_A);
	message_add_text(&message, MESSAGE_ANSWERS, ADDRESS);
	send_back(udp[0], &seen, message.bytes, message.len);
	send_back(udp[0], &seen, "", 0);
	send_back(udp[0], &seen, message.bytes, 11);
	send_back(udp[0], &seen, seen.bytes, seen.len); /* the question itself */
	message = answer_to(&seen, NOERROR, ADDRESS);
	send_back(udp[1], &seen, message.bytes, message.len); /* from another address */
	process_nothing();
	assert_false(query_run(&query, now_ms));
	assert_int_equal(name_server_heard_ms(servers.v[0].line), -1);

	reply(0, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
}

static void test_nonsense_with_the_right_question_is_a_failure(void **state)
{
	(void) state;
	use(2, 1, 2);
	struct query query;
	begin(&query);
	struct seen seen = take(0);
	struct message message = answer_to(&seen, NOERROR, ADDRESS);
	send_back(udp[0], &seen, message.bytes, message.len - 1);
	process();
	assert_false(query_run(&query, now_ms));
	seen = take(1);
	reply(1, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
}

/* -- TCP -- */

static int accept_from(int server)
{
	wait_readable(tcp[server]);
	int fd = accept4(tcp[server], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void receive(int fd, uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		if (!is_readable(fd)) {
			wait_readable(servers.epoll);
			servers_process(&servers, now_ms);
			continue;
		}
		ssize_t n = recv(fd, bytes + at, len - at, 0);
		assert_true(n > 0);
		at += (size_t) n;
	}
}

static struct seen take_from(int fd)
{
	struct seen seen = { 0 };
	uint8_t length[2];
	receive(fd, length, 2);
	seen.len = (size_t) (length[0] << 8 | length[1]);
	assert_in_range(seen.len, 1, sizeof(seen.bytes));
	receive(fd, seen.bytes, seen.len);
	understand(&seen);
	return seen;
}

static void reply_on(int fd, const struct seen *seen, const char *record)
{
	const struct message message = answer_to(seen, NOERROR, record);
	const uint8_t length[2] = { (uint8_t) (message.len >> 8), (uint8_t) message.len };
	assert_int_equal(send(fd, length, 2, 0), 2);
	assert_int_equal(send(fd, message.bytes, message.len, 0), message.len);
}

/* A query whose answer over UDP is truncated, and the connection over which it then comes. */
static int begin_truncated(struct query *query)
{
	begin(query);
	const struct seen seen = take(0);
	reply(0, &seen, TRUNCATED, ADDRESS);
	process_nothing();
	return accept_from(0);
}

static void test_truncated_answers_come_over_tcp(void **state)
{
	(void) state;
	use(1, 1);
	struct query query;
	_cleanup_close_ int fd = begin_truncated(&query);
	const struct seen seen = take_from(fd);
	assert_int_equal(seen.id, 0x1111);
	reply_on(fd, &seen, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
	char c;
	assert_int_equal(recv(fd, &c, 1, 0), 0); /* nothing is asked: it is closed */
}

static void test_byte_by_byte(void **state)
{
	(void) state;
	use(1, 1);
	struct query query;
	_cleanup_close_ int fd = begin_truncated(&query);
	const struct seen seen = take_from(fd);
	const struct message message = answer_to(&seen, NOERROR, ADDRESS);
	const uint8_t length[2] = { 0, (uint8_t) message.len };
	changes = 0;
	for (size_t i = 0; i < 2 + message.len; i++) {
		assert_int_equal(changes, 0);
		assert_int_equal(send(fd, i < 2 ? &length[i] : &message.bytes[i - 2], 1, 0), 1);
		wait_readable(servers.epoll);
		servers_process(&servers, now_ms);
	}
	assert_int_equal(changes, 1);
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
}

static void test_the_largest_answer(void **state)
{
	(void) state;
	use(1, 1);
	struct query query;
	_cleanup_close_ int fd = begin_truncated(&query);
	const struct seen seen = take_from(fd);
	struct message message = answer_to(&seen, NOERROR, ADDRESS);
	uint8_t filling[sizeof(message.bytes)] = { 0 };
	message_add(&message, MESSAGE_ANSWERS, "x", 16, 60, filling, sizeof(message.bytes) - message.len - 13);
	assert_int_equal(message.len, 65535);
	assert_int_equal(send(fd, "\xff\xff", 2, 0), 2);
	changes = 0;
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (size_t at = 0; at < message.len || changes == 0;) {
		ssize_t n = at < message.len ? send(fd, message.bytes + at, message.len - at, 0) : -1;
		at += n > 0 ? (size_t) n : 0;
		wait_readable(servers.epoll);
		servers_process(&servers, now_ms);
	}
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
}

/* One that stalls holds up neither what is asked by UDP nor, after their time, its own. */
static void test_tcp_that_stalls(void **state)
{
	(void) state;
	use(1, 1);
	struct query stalled, other;
	_cleanup_close_ int fd = begin_truncated(&stalled);
	(void) take_from(fd);
	begin(&other);
	const struct seen seen = take(0);
	reply(0, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&other, now_ms));
	expect(&other, DNS_ADDRESSES);
	assert_false(query_run(&stalled, now_ms));
	now_ms += QUERY_MS;
	changes = 0;
	servers_process(&servers, now_ms);
	(void) query_run(&stalled, now_ms);
	assert_true(stalled.has_ended && stalled.answer.verdict != DNS_ADDRESSES);
	char c;
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	while (is_readable(udp[0]))
		(void) take(0);
}

static void test_tcp_that_is_closed_ends_only_what_is_asked_over_it(void **state)
{
	(void) state;
	use(1, 1);
	struct query broken, other;
	int fd = begin_truncated(&broken);
	(void) take_from(fd);
	begin(&other);
	const struct seen seen = take(0);
	close(fd);
	process();
	assert_true(query_run(&broken, now_ms));
	expect(&broken, DNS_FAILED);
	assert_false(query_run(&other, now_ms));
	reply(0, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&other, now_ms));
	expect(&other, DNS_ADDRESSES);
}

static void test_tcp_that_is_closed_after_each_answer(void **state)
{
	(void) state;
	use(1, 1);
	struct query queries[3];
	int fd = begin_truncated(&queries[0]);
	for (int i = 1; i < 3; i++) {
		begin(&queries[i]);
		const struct seen seen = take(0);
		reply(0, &seen, TRUNCATED, NULL);
		process_nothing();
	}
	for (int i = 0; i < 3; i++) {
		const struct seen seen = take_from(fd);
		reply_on(fd, &seen, ADDRESS);
		(void) shutdown(fd, SHUT_WR);
		process();
		if (i == 2)
			break;
		while (!is_readable(tcp[0])) {
			wait_readable(servers.epoll);
			servers_process(&servers, now_ms);
		}
		close(fd);
		fd = accept_from(0);
	}
	close(fd);
	for (int i = 0; i < 3; i++) {
		assert_true(query_run(&queries[i], now_ms));
		expect(&queries[i], DNS_ADDRESSES);
	}
}

static void test_no_tcp(void **state)
{
	(void) state;
	close(tcp[1]);
	use(2, 2, 3);
	struct query query;
	begin(&query);
	struct seen seen = take(1);
	reply(1, &seen, TRUNCATED, NULL);
	while (!is_readable(udp[2])) {
		if (is_readable(servers.epoll))
			servers_process(&servers, now_ms);
		assert_false(query_run(&query, now_ms));
	}
	seen = take(2);
	reply(2, &seen, NOERROR, ADDRESS);
	process();
	assert_true(query_run(&query, now_ms));
	expect(&query, DNS_ADDRESSES);
}

/* -- link-local servers -- */

static void test_link_local(void **state)
{
	(void) state;
	char number[16];
	(void) snprintf(number, sizeof(number), "%u", if_nametoindex("hole"));
	const char *const scopes[] = { "hole", number };
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
		.sin6_port = htons(53),
		.sin6_addr.s6_addr = { 0xfe, 0x80, [15] = 0x53 },
		.sin6_scope_id = if_nametoindex("hole") };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *) &sa, sizeof(sa)), 0);
	int saved = udp[0];
	udp[0] = fd;
	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
		struct resolvconf_server where = { .address = { AF_INET6, { 0xfe, 0x80, [15] = 0x53 } } };
		(void) snprintf(where.scope, sizeof(where.scope), "%s", scopes[i]);
		servers_set(&servers, &where, 1);
		struct query query;
		begin(&query);
		const struct seen seen = take(0);
		reply(0, &seen, NOERROR, ADDRESS);
		process();
		assert_true(query_run(&query, now_ms));
		expect(&query, DNS_ADDRESSES);
	}
	udp[0] = saved;
	close(fd);
}

static int setup(void **state)
{
	(void) state;
	now_ms = START_MS;
	servers = (struct servers){ .epoll = epoll_create1(EPOLL_CLOEXEC) };
	return servers.epoll < 0;
}

static int teardown(void **state)
{
	(void) state;
	servers_set(&servers, NULL, 0);
	for (int i = 0; i < SERVED; i++)
		while (is_readable(udp[i]))
			(void) take(i);
	/* what it leaves open is a leak: nothing is in the epoll any more */
	struct epoll_event event;
	int left = epoll_wait(servers.epoll, &event, 1, 0);
	close(servers.epoll);
	return left;
}

static int start_servers(void **state)
{
	(void) state;
	for (int i = 0; i < SERVED; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET,
			.sin_port = htons(53),
			.sin_addr.s_addr = htonl(0x7f000001u + (unsigned) i) };
		udp[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		tcp[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(udp[i], (const struct sockaddr *) &sa, sizeof(sa)) < 0 ||
			bind(tcp[i], (const struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(tcp[i], 16) < 0)
			return -1;
	}
	return 0;
}

static void run(const char *command)
{
	if (system(command) != 0) {
		(void) fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	run("ip link set lo up");
	run("ip link add name hole type veth peer name sink && ip link set sink up && ip link set hole up");
	run("ip addr add fe80::53/64 dev hole nodad");
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_answers),
		TEST(test_a_silent_server_costs_a_moment_and_then_nothing),
		TEST(test_a_silent_server_is_tried_again_beside_the_others),
		TEST(test_a_server_that_is_slow_for_one_name_is_not_silent),
		TEST(test_a_server_that_fails_is_passed_over_at_once),
		TEST(test_where_nobody_listens),
		TEST(test_where_no_way_leads),
		TEST(test_nobody_answers),
		TEST(test_tries_are_bounded),
		TEST(test_a_later_server_is_not_believed_at_once_that_there_is_nothing),
		TEST(test_a_later_server_is_believed_in_time),
		TEST(test_a_later_server_is_believed_when_the_first_has_failed),
		TEST(test_what_is_no_answer_is_passed_over),
		TEST(test_nonsense_with_the_right_question_is_a_failure),
		TEST(test_truncated_answers_come_over_tcp),
		TEST(test_byte_by_byte),
		TEST(test_the_largest_answer),
		TEST(test_tcp_that_stalls),
		TEST(test_tcp_that_is_closed_ends_only_what_is_asked_over_it),
		TEST(test_tcp_that_is_closed_after_each_answer),
		TEST(test_link_local),
		TEST(test_no_tcp),
	};
	return cmocka_run_group_tests(tests, start_servers, NULL);
}
