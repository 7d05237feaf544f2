/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/parting.h"

#define PATIENCE_MS 10000

struct ends {
	int ours, client, epoll;
};

static void begin(struct ends *ends)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &at, &len), 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ends->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends->client, (struct sockaddr *) &at, sizeof(at)), 0);
	ends->ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	close(listener);

	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET };
	ends->epoll = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(ends->epoll, EPOLL_CTL_ADD, ends->ours, &event), 0);
	assert_int_equal(epoll_wait(ends->epoll, &event, 1, PATIENCE_MS), 1);
}

static void end(const struct ends *ends)
{
	close(ends->ours);
	close(ends->client);
	close(ends->epoll);
}

/* A client that does not end: as long as it says nothing there is nothing to do. */
static void test_lingering_is_quiet(void **state)
{
	(void) state;
	struct ends ends;
	struct epoll_event event;
	struct parting parting;
	char byte;
	begin(&ends);
	parting_init(&parting);
	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_WAITS);
	assert_int_equal(read(ends.client, &byte, 1), 0);
	while (parting_queued(ends.ours) != 0)
		assert_int_equal(epoll_wait(ends.epoll, &event, 1, PATIENCE_MS), 1);
	(void) epoll_wait(ends.epoll, &event, 1, 0);

	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_WAITS);
	assert_int_equal(epoll_wait(ends.epoll, &event, 1, 0), 0);
	end(&ends);
}

static void test_lingering_ends(void **state)
{
	(void) state;
	struct ends ends;
	struct epoll_event event;
	struct parting parting;
	begin(&ends);
	parting_init(&parting);
	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_WAITS);
	assert_int_equal(send(ends.client, "late", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(shutdown(ends.client, SHUT_WR), 0);
	while (parting_linger(&parting, ends.ours) == PARTING_WAITS)
		assert_int_equal(epoll_wait(ends.epoll, &event, 1, PATIENCE_MS), 1);
	assert_int_equal(parting.drained, 4);
	end(&ends);
}

/* What the client has not taken is seen to move, or not to. */
static void test_a_slow_client(void **state)
{
	(void) state;
	static char bytes[4 << 20];
	struct ends ends;
	struct epoll_event event;
	struct parting parting;
	begin(&ends);
	parting_init(&parting);
	assert_true(send(ends.ours, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0);
	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_WAITS);
	while (parting_moves(&parting, ends.ours))
		(void) epoll_wait(ends.epoll, &event, 1, 10);
	assert_true(parting_queued(ends.ours) > 0);
	do
		assert_true(read(ends.client, bytes, sizeof(bytes)) > 0);
	while (!parting_moves(&parting, ends.ours));
	end(&ends);
}

static void test_a_client_that_resets(void **state)
{
	(void) state;
	static const struct linger at_once = { .l_onoff = 1 };
	struct ends ends;
	struct epoll_event event;
	struct parting parting;
	begin(&ends);
	parting_init(&parting);
	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_WAITS);
	assert_int_equal(setsockopt(ends.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(ends.client);
	ends.client = -1;
	do
		assert_int_equal(epoll_wait(ends.epoll, &event, 1, PATIENCE_MS), 1);
	while (!(event.events & EPOLLERR));
	assert_int_equal(parting_linger(&parting, ends.ours), PARTING_FAILED);
	end(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lingering_is_quiet),
		cmocka_unit_test(test_lingering_ends),
		cmocka_unit_test(test_a_slow_client),
		cmocka_unit_test(test_a_client_that_resets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
