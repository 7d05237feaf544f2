/* SPDX-License-Identifier: Apache-2.0 */
/* Who is dialled when, over real sockets: in a network namespace of its own, where some addresses swallow everything.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/dial.h"

#define WAIT_MS 20000
#define START_MS 5000 /* of a clock that the tests turn */

static uint16_t served_port;

/* "here" listens, "refused" is ours too, "silent" swallows. */
static struct address address(const char *text)
{
	struct address address;
	bool ok = address_parse4(text, strlen(text), &address) || address_parse6(text, strlen(text), &address);
	assert_true(ok);
	return address;
}

#define HERE "198.51.100.1"
#define REFUSED "198.51.100.2"
#define SILENT(n) "203.0.113." #n
#define SILENT6 "2001:db8:1::1"
#define NO_ROUTE "198.18.7.7"

static struct dial prepare(const char *const *texts, size_t n, uint32_t timeout_ms)
{
	struct dial dial = { .port = served_port, .n = (uint8_t) n };
	for (size_t i = 0; i < n; i++)
		dial.addresses[i] = address(texts[i]);
	dial_begin(&dial, START_MS, timeout_ms);
	return dial;
}

#define PREPARE(timeout_ms, ...) \
	prepare((const char *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })), timeout_ms)

/* Until the newest attempt has come to something. */
static void wait_for_newest(const struct dial *dial)
{
	struct pollfd pfd = { .fd = dial->attempts[dial->n_attempts - 1].fd, .events = POLLOUT };
	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
}

static bool is_open(int fd)
{
	struct pollfd pfd = { .fd = fd };
	return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLNVAL);
}

static void test_one_that_answers(void **state)
{
	(void) state;
	struct dial dial = PREPARE(10000, HERE);
	assert_non_null(dial_next(&dial, START_MS));
	assert_int_equal(dial_due_ms(&dial), START_MS + 10000); /* there is no other */
	wait_for_newest(&dial);
	struct address won;
	int fd = dial_check(&dial, &won);
	assert_true(fd >= 0);
	assert_int_equal(dial.n_attempts, 0);
	close(fd);
}

static void test_a_silent_one_costs_a_moment(void **state)
{
	(void) state;
	struct dial dial = PREPARE(10000, SILENT6, HERE);
	struct address won, here = address(HERE);
	assert_non_null(dial_next(&dial, START_MS));
	assert_int_equal(dial_due_ms(&dial), START_MS + 250);
	assert_int_equal(dial_check(&dial, &won), -1);
	assert_int_equal(dial.n_attempts, 1);
	int silent = dial.attempts[0].fd;

	assert_non_null(dial_next(&dial, START_MS + 250));
	assert_int_equal(dial.n_attempts, 2);
	wait_for_newest(&dial);
	int fd = dial_check(&dial, &won);
	assert_true(fd >= 0);
	assert_true(address_equal(&won, &here));
	assert_true(is_open(silent));
	dial_close(&dial);
	assert_false(is_open(silent));
	assert_true(is_open(fd));
	close(fd);
}

static void test_what_fails_says_why_and_is_closed(void **state)
{
	(void) state;
	struct dial dial = PREPARE(10000, REFUSED, HERE);
	struct address won;
	assert_non_null(dial_next(&dial, START_MS));
	wait_for_newest(&dial);
	int refused = dial.attempts[0].fd;
	assert_int_equal(dial_check(&dial, &won), -1);
	assert_int_equal(dial.failure, REASON_CONNECT_REFUSED);
	assert_int_equal(dial.n_attempts, 0);
	assert_false(is_open(refused));
}

static void test_no_route_is_passed_over_at_once(void **state)
{
	(void) state;
	struct dial dial = PREPARE(10000, NO_ROUTE, "2001:db8:2::1", SILENT(1));
	const struct dial_attempt *attempt = dial_next(&dial, START_MS);
	assert_non_null(attempt);
	assert_int_equal(attempt->address, 2);
	dial_close(&dial);

	dial = PREPARE(10000, NO_ROUTE);
	assert_null(dial_next(&dial, START_MS));
	assert_int_equal(dial.failure, REASON_CONNECT_UNREACHABLE);
}

static void test_the_oldest_makes_room_when_it_has_had_its_share(void **state)
{
	(void) state;
	struct dial dial = PREPARE(6000, SILENT(1), SILENT(2), SILENT(3), SILENT(4), SILENT(5), SILENT(6));
	for (int i = 0; i < DIAL_ATTEMPTS_MAX; i++) {
		assert_non_null(dial_next(&dial, START_MS + 250 * i));
		assert_int_equal(dial.attempts[0].address, 0);
	}
	assert_int_equal(dial_due_ms(&dial), START_MS + 3000); /* three at a time, six, 6 s: 3 s each */
	assert_non_null(dial_next(&dial, START_MS + 3000));
	assert_int_equal(dial.n_attempts, DIAL_ATTEMPTS_MAX);
	assert_int_equal(dial.attempts[0].address, 1);
	assert_int_equal(dial_due_ms(&dial), START_MS + 3250);
	assert_non_null(dial_next(&dial, START_MS + 3250));
	assert_non_null(dial_next(&dial, START_MS + 3500));
	assert_int_equal(dial_due_ms(&dial), START_MS + 6000);
	assert_null(dial_next(&dial, START_MS + 6000));
	assert_int_equal(dial.n_attempts, DIAL_ATTEMPTS_MAX);
	dial_close(&dial);
}

static void test_a_short_time(void **state)
{
	(void) state;
	struct dial dial = PREPARE(100, SILENT(1), SILENT(2));
	assert_non_null(dial_next(&dial, START_MS));
	assert_int_equal(dial_due_ms(&dial), START_MS + 100);
	dial_close(&dial);
	dial_close(NULL);
}

static void run(const char *command)
{
	if (system(command) != 0) {
		(void) fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

static int start_listening(void **state)
{
	(void) state;
	struct address here = address(HERE);
	struct sockaddr_storage sa;
	socklen_t len = address_to_sockaddr(&here, 0, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct address bound;
	if (fd < 0 || bind(fd, (const struct sockaddr *) &sa, len) < 0 || listen(fd, 16) < 0 ||
		getsockname(fd, (struct sockaddr *) &sa, &len) < 0 ||
		!address_from_sockaddr((const struct sockaddr *) &sa, &bound, &served_port))
		return -1;
	return 0;
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	run("ip link set lo up && ip addr add 198.51.100.1/32 dev lo && ip addr add 198.51.100.2/32 dev lo");
	run("ip link add name hole type veth peer name sink && ip link set hole up && ip link set sink up");
	run("ip addr add 2001:db8:1::ff/64 dev hole nodad && ip neigh add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev "
	    "hole");
	run("ip route add 203.0.113.0/24 dev hole");
	run("for i in 1 2 3 4 5 6; do ip neigh add 203.0.113.$i lladdr 02:00:00:00:00:01 dev hole; done");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_that_answers),
		cmocka_unit_test(test_a_silent_one_costs_a_moment),
		cmocka_unit_test(test_what_fails_says_why_and_is_closed),
		cmocka_unit_test(test_no_route_is_passed_over_at_once),
		cmocka_unit_test(test_the_oldest_makes_room_when_it_has_had_its_share),
		cmocka_unit_test(test_a_short_time),
	};
	return cmocka_run_group_tests(tests, start_listening, NULL);
}
