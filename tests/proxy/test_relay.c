/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between two TCP connections on loopback, in a network namespace of its own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/relay.h"

#define WAIT_MS 10000
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* outer[] are what the two peers hold, inner[] the relay's ends of the same connections. */
struct bench {
	int outer[RELAY_ENDS], inner[RELAY_ENDS], epoll;
	struct relay relay;
	struct pipes pipes;
	struct relay_leave *leave;
	unsigned turns;
};

static void connect_pair(int *outer, int *inner)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(listener, (struct sockaddr *) &at, sizeof(at)), errno);
	assert_return_code(listen(listener, 1), errno);
	assert_return_code(getsockname(listener, (struct sockaddr *) &at, &len), errno);
	*outer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(connect(*outer, (struct sockaddr *) &at, sizeof(at)), errno);
	*inner = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_return_code(*inner, errno);
	int on = 1;
	assert_return_code(setsockopt(*inner, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), errno);
	close(listener);
}

static int open_bench(void **state)
{
	static struct bench bench;
	bench = (struct bench){ .epoll = epoll_create1(EPOLL_CLOEXEC) };
	for (int i = 0; i < RELAY_ENDS; i++) {
		connect_pair(&bench.outer[i], &bench.inner[i]);
		struct epoll_event event = { .events = EVENTS, .data.u32 = (uint32_t) i };
		assert_return_code(epoll_ctl(bench.epoll, EPOLL_CTL_ADD, bench.inner[i], &event), errno);
	}
	relay_init(&bench.relay, bench.inner[RELAY_CLIENT], bench.inner[RELAY_ORIGIN]);
	*state = &bench;
	return 0;
}

static int close_bench(void **state)
{
	struct bench *bench = *state;
	relay_finish(&bench->relay, &bench->pipes);
	pipes_close(&bench->pipes);
	for (int i = 0; i < RELAY_ENDS; i++) {
		close(bench->inner[i]);
		if (bench->outer[i] >= 0)
			close(bench->outer[i]);
	}
	close(bench->epoll);
	return 0;
}

/* One round of the loop: waits for events unless the last turn was used up. */
static enum relay_status turn(struct bench *bench, enum relay_status last, int timeout_ms)
{
	struct epoll_event events[4];
	int n = epoll_wait(bench->epoll, events, 4, last == RELAY_GOES_ON ? 0 : timeout_ms);
	for (int i = 0; i < n; i++)
		relay_note(&bench->relay, (enum relay_end) events[i].data.u32, events[i].events);
	bench->turns++;
	return relay_run(&bench->relay, &bench->pipes, bench->leave);
}

static enum relay_status run_until_end(struct bench *bench)
{
	enum relay_status status = RELAY_WAITS;
	for (int i = 0; i < 100000 && (status == RELAY_WAITS || status == RELAY_GOES_ON); i++)
		status = turn(bench, status, WAIT_MS);
	return status;
}

/* Runs while there is anything to do at once. */
static enum relay_status settle(struct bench *bench)
{
	enum relay_status status = RELAY_GOES_ON;
	for (int i = 0; i < 100000 && status == RELAY_GOES_ON; i++)
		status = turn(bench, status, 0);
	return status;
}

static void reset(struct bench *bench, enum relay_end end)
{
	struct linger linger = { .l_onoff = 1 };
	assert_return_code(setsockopt(bench->outer[end], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), errno);
	close(bench->outer[end]);
	bench->outer[end] = -1;
}

static void send_text(const struct bench *bench, enum relay_end from, const char *text)
{
	assert_int_equal(send(bench->outer[from], text, strlen(text), 0), strlen(text));
}

static void expect_text(const struct bench *bench, enum relay_end at, const char *text)
{
	char buf[64];
	assert_int_equal(recv(bench->outer[at], buf, strlen(text), MSG_WAITALL), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void pass_text(struct bench *bench, const char *text)
{
	uint64_t before = bench->relay.flows[RELAY_CLIENT].bytes;
	send_text(bench, RELAY_CLIENT, text);
	while (bench->relay.flows[RELAY_CLIENT].bytes < before + strlen(text))
		assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, text);
}

static void test_half_close(void **state)
{
	struct bench *bench = *state;
	send_text(bench, RELAY_CLIENT, "question");
	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	while (!bench->relay.flows[RELAY_CLIENT].ended)
		assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "question");
	char byte;
	assert_int_equal(recv(bench->outer[RELAY_ORIGIN], &byte, 1, 0), 0);

	send_text(bench, RELAY_ORIGIN, "answer");
	shutdown(bench->outer[RELAY_ORIGIN], SHUT_WR);
	assert_int_equal(run_until_end(bench), RELAY_ENDED);
	expect_text(bench, RELAY_CLIENT, "answer");
	assert_int_equal(recv(bench->outer[RELAY_CLIENT], &byte, 1, 0), 0);
	assert_int_equal(bench->relay.flows[RELAY_CLIENT].bytes, 8);
	assert_int_equal(bench->relay.flows[RELAY_ORIGIN].bytes, 6);
}

static void test_a_stalled_reader_costs_no_turns(void **state)
{
	struct bench *bench = *state;
	static char block[1 << 16];
	size_t sent = 0;
	ssize_t n;
	do {
		while ((n = send(bench->outer[RELAY_CLIENT], block, sizeof(block), MSG_DONTWAIT)) > 0)
			sent += (size_t) n;
		settle(bench);
		n = send(bench->outer[RELAY_CLIENT], block, sizeof(block), MSG_DONTWAIT);
		sent += n > 0 ? (size_t) n : 0;
	} while (n > 0);
	assert_int_equal(settle(bench), RELAY_WAITS);
	assert_int_not_equal(bench->relay.flows[RELAY_CLIENT].held, 0);

	/* when the last segments are in, and there can be hundreds, epoll reports nothing: a loop would sleep */
	struct epoll_event events[4];
	int reports = 0;
	while (epoll_wait(bench->epoll, events, 4, 50) > 0)
		assert_in_range(++reports, 1, 2000);
	send_text(bench, RELAY_ORIGIN, "still open");
	turn(bench, RELAY_WAITS, WAIT_MS);
	expect_text(bench, RELAY_CLIENT, "still open");

	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	size_t got = 0;
	while ((n = recv(bench->outer[RELAY_ORIGIN], block, sizeof(block), MSG_DONTWAIT)) != 0) {
		if (n > 0)
			got += (size_t) n;
		settle(bench);
	}
	assert_int_equal(got, sent);
}

static void test_random_sizes(void **state)
{
	struct bench *bench = *state;
	static unsigned char out[1 << 20], in[1 << 20];
	srandom(5);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char) random();
	size_t sent = 0, got = 0;
	while (got < sizeof(out)) {
		size_t size = (size_t) random() % 9000 + 1;
		if (size > sizeof(out) - sent)
			size = sizeof(out) - sent;
		ssize_t n = size ? send(bench->outer[RELAY_ORIGIN], out + sent, size, MSG_DONTWAIT) : 0;
		sent += n > 0 ? (size_t) n : 0;
		settle(bench);
		n = recv(bench->outer[RELAY_CLIENT], in + got, (size_t) random() % 7000 + 1, MSG_DONTWAIT);
		got += n > 0 ? (size_t) n : 0;
		assert_true(got <= sent);
	}
	assert_memory_equal(out, in, sizeof(out));
}

/* Passes what a source sends in pieces of a size to the other end, and looks at every byte. Returns whether any of it
 * was bulk. */
static bool pass_pieces(struct bench *bench, size_t size, unsigned pieces)
{
	static unsigned char out[1 << 17], in[1 << 17];
	bool bulk = false;
	for (unsigned i = 0; i < pieces; i++) {
		for (size_t k = 0; k < size; k++)
			out[k] = (unsigned char) random();
		assert_int_equal(send(bench->outer[RELAY_CLIENT], out, size, 0), size);
		for (size_t got = 0; got < size;) {
			settle(bench);
			bulk |= bench->relay.flows[RELAY_CLIENT].bulk;
			ssize_t n = recv(bench->outer[RELAY_ORIGIN], in + got, size - got, MSG_DONTWAIT);
			got += n > 0 ? (size_t) n : 0;
		}
		assert_memory_equal(out, in, size);
	}
	return bulk;
}

/* Small pieces need no pipe; large ones get one, until they are small again. */
static void test_bulk_comes_and_goes(void **state)
{
	struct bench *bench = *state;
	assert_false(pass_pieces(bench, 100, 20));
	assert_int_equal(bench->pipes.n_open, 0);
	assert_true(pass_pieces(bench, 1 << 17, 20));
	assert_int_not_equal(bench->pipes.n_open, 0);
	pass_pieces(bench, 100, 20);
	assert_false(bench->relay.flows[RELAY_CLIENT].bulk);
	assert_int_equal(bench->relay.flows[RELAY_CLIENT].bytes, 20 * 100 + (20 << 17) + 20 * 100);
}

/* A target that takes only a part of a small piece: the rest is parked, and comes in its place. */
static void test_parked(void **state)
{
	struct bench *bench = *state;
	static unsigned char piece[8 << 10], in[sizeof(piece)];
	unsigned sent = 0;
	const struct relay_flow *flow = &bench->relay.flows[RELAY_CLIENT];
	while (flow->held == 0) {
		memset(piece, (int) sent, sizeof(piece));
		assert_int_equal(send(bench->outer[RELAY_CLIENT], piece, sizeof(piece), 0), sizeof(piece));
		sent++;
		while (flow->bytes + flow->held < (uint64_t) sent * sizeof(piece))
			turn(bench, RELAY_GOES_ON, 0);
	}
	assert_non_null(flow->parked);
	assert_int_equal(bench->pipes.n_open, 0);
	for (unsigned i = 0; i < sent; i++) {
		for (size_t got = 0; got < sizeof(in);) {
			ssize_t n = recv(bench->outer[RELAY_ORIGIN], in + got, sizeof(in) - got, MSG_DONTWAIT);
			got += n > 0 ? (size_t) n : 0;
			if (n < 0)
				turn(bench, RELAY_WAITS, WAIT_MS);
		}
		memset(piece, (int) i, sizeof(piece));
		assert_memory_equal(piece, in, sizeof(in));
	}
	assert_int_equal(flow->held, 0);
	assert_null(flow->parked);
}

/* An end that comes with its last bytes, and one that comes behind them, are seen all the same. */
static void test_no_end_is_lost(void **state)
{
	struct bench *bench = *state;
	settle(bench);
	for (int i = 0; i < 50; i++)
		pass_text(bench, "piece");
	send_text(bench, RELAY_CLIENT, "last");
	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	send_text(bench, RELAY_ORIGIN, "last");
	shutdown(bench->outer[RELAY_ORIGIN], SHUT_WR);
	assert_int_equal(run_until_end(bench), RELAY_ENDED);
	assert_int_equal(bench->relay.flows[RELAY_CLIENT].bytes, 50 * 5 + 4);
}

static void test_reset(void **state)
{
	struct bench *bench = *state;
	reset(bench, RELAY_ORIGIN);
	assert_int_equal(run_until_end(bench), RELAY_RESET);
	assert_int_equal(bench->relay.reset, RELAY_ORIGIN);
}

static void test_reset_by_the_end_that_has_closed_its_half(void **state)
{
	struct bench *bench = *state;
	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	while (!bench->relay.flows[RELAY_CLIENT].ended)
		turn(bench, RELAY_WAITS, WAIT_MS);
	assert_int_equal(settle(bench), RELAY_WAITS);
	reset(bench, RELAY_CLIENT);
	assert_int_equal(run_until_end(bench), RELAY_RESET);
	assert_int_equal(bench->relay.reset, RELAY_CLIENT);
}

/* An origin that answers and goes while the client still sends: the client gets the answer. */
static void test_what_came_before_a_failed_write_is_passed_on(void **state)
{
	struct bench *bench = *state;
	send_text(bench, RELAY_ORIGIN, "answer");
	close(bench->outer[RELAY_ORIGIN]);
	bench->outer[RELAY_ORIGIN] = -1;
	send_text(bench, RELAY_CLIENT, "more");
	settle(bench);
	send_text(bench, RELAY_CLIENT, "more");
	assert_int_equal(run_until_end(bench), RELAY_RESET);
	expect_text(bench, RELAY_CLIENT, "answer");
}

static void test_urgent_data(void **state)
{
	struct bench *bench = *state;
	settle(bench);
	send_text(bench, RELAY_CLIENT, "ab");
	settle(bench);
	assert_int_equal(send(bench->outer[RELAY_CLIENT], "!", 1, MSG_OOB), 1);
	settle(bench);
	send_text(bench, RELAY_CLIENT, "cd");
	while (bench->relay.flows[RELAY_CLIENT].bytes < 5)
		assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "ab!cd");
}

static void expect_leave(struct bench *bench, uint32_t up, bool wanted_up)
{
	assert_int_equal(bench->leave->bytes[RELAY_CLIENT], up);
	assert_int_equal(bench->leave->wanted[RELAY_CLIENT], wanted_up);
	*bench->leave = (struct relay_leave){ .bytes = { 3, 1000 } };
}

/* No byte more than permitted, and said where there would have been one. The other way goes on. */
static void test_leave(void **state)
{
	struct bench *bench = *state;
	struct relay_leave leave = { .bytes = { 3, 1000 } };
	bench->leave = &leave;
	send_text(bench, RELAY_CLIENT, "abcdefgh");
	send_text(bench, RELAY_ORIGIN, "down");
	while (bench->relay.flows[RELAY_CLIENT].bytes < 3 || bench->relay.flows[RELAY_ORIGIN].bytes < 4)
		assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "abc");
	expect_text(bench, RELAY_CLIENT, "down");
	expect_leave(bench, 0, true);
	assert_int_equal(relay_run(&bench->relay, &bench->pipes, &leave), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "def");
	expect_leave(bench, 0, true);
	assert_int_equal(relay_run(&bench->relay, &bench->pipes, &leave), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "gh");
	expect_leave(bench, 1, false); /* it has looked for more, and there was none */

	/* an end of file needs leave as bytes do, and is not lost for want of it */
	leave = (struct relay_leave){ 0 };
	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	while (!leave.wanted[RELAY_CLIENT])
		(void) turn(bench, RELAY_WAITS, WAIT_MS);
	assert_false(bench->relay.flows[RELAY_CLIENT].ended);
	leave = (struct relay_leave){ .bytes = { 1, 1 } };
	shutdown(bench->outer[RELAY_ORIGIN], SHUT_WR);
	assert_int_equal(run_until_end(bench), RELAY_ENDED);
}

/* With no descriptor to be had for a pipe, bytes pass all the same. */
static void test_without_pipes(void **state)
{
	struct bench *bench = *state;
	struct rlimit limit, none;
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = limit.rlim_max };
	assert_return_code(setrlimit(RLIMIT_NOFILE, &none), errno);
	send_text(bench, RELAY_CLIENT, "no pipe");
	while (bench->relay.flows[RELAY_CLIENT].bytes < 7)
		assert_int_equal(turn(bench, RELAY_WAITS, WAIT_MS), RELAY_WAITS);
	expect_text(bench, RELAY_ORIGIN, "no pipe");
	shutdown(bench->outer[RELAY_CLIENT], SHUT_WR);
	shutdown(bench->outer[RELAY_ORIGIN], SHUT_WR);
	assert_int_equal(run_until_end(bench), RELAY_ENDED);
	assert_int_equal(bench->pipes.n, 0);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	if (system("ip link set lo up") != 0)
		return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(test_half_close),
		TEST(test_a_stalled_reader_costs_no_turns),
		TEST(test_random_sizes),
		TEST(test_bulk_comes_and_goes),
		TEST(test_parked),
		TEST(test_no_end_is_lost),
		TEST(test_reset),
		TEST(test_reset_by_the_end_that_has_closed_its_half),
		TEST(test_what_came_before_a_failed_write_is_passed_on),
		TEST(test_urgent_data),
		TEST(test_leave),
		TEST(test_without_pipes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
