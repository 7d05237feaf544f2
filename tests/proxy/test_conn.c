/* SPDX-License-Identifier: Apache-2.0 */
/* One connection, event by event, in an order that the kernel shows only now and then. In a network namespace. */
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/policy.h"
#include "proxy/accepting.h"
#include "proxy/access_log.h"
#include "proxy/conn_parts.h"
#include "proxy/dial.h"
#include "proxy/resolver.h"
#include "proxy/review.h"
#include "proxy/route.h"
#include "proxy/scoreboard.h"

#define TURN_MS 10 /* for what the kernel has still on its way */
#define TURNS_MAX 2000
#define HERE "198.51.100.1"
#define SILENT "203.0.113.1" /* swallows */
#define PORT 8080
#define OTHER_POLICY "{\"allow\":[\"other.test\"],\"on_reload\":\"keep\"}"
#define POLICY "{\"allow\":[\"" HERE ":8080\",\"" SILENT ":8080\"],\"networks\":[\"" HERE "\",\"" SILENT "\"]}"

static struct conns conns;
static struct image *image, *other_image;
static int listener, log_fd;

/* -- the world -- */

static int open_world(void **state)
{
	(void) state;
	struct error err = { 0 };
	int board_fd;
	struct address here;
	struct sockaddr_storage sa;
	conns.epoll = epoll_create1(EPOLL_CLOEXEC);
	conns_init(&conns);
	conns.now_ms = 1000;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	if (policy_compile("policy.json", "test", POLICY, strlen(POLICY), IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0 ||
		policy_compile("policy.json", "test", OTHER_POLICY, strlen(OTHER_POLICY), IMAGE_ON_FAILURE_CLOSED,
			&other_image, &err) < 0 ||
		scoreboard_create(4, &board_fd, &conns.board, &err) < 0 || route_open(&conns.route, &err) < 0 ||
		resolver_new(&conns.resolver, &err) < 0 ||
		access_log_new(log_fd, NULL, 0, image, 0, -1, &conns.board->counters, &conns.log, &err) < 0) {
		(void) fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	close(board_fd);
	conns.image = image;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!address_parse4(HERE, strlen(HERE), &here) ||
		bind(listener, (const struct sockaddr *) &sa, address_to_sockaddr(&here, PORT, &sa)) < 0)
		return -1;
	return listen(listener, 16);
}

static int close_world(void **state)
{
	(void) state;
	access_log_free(conns.log);
	resolver_free(conns.resolver);
	scoreboard_free(conns.board, 4);
	pipes_close(&conns.pipes);
	close(conns.route);
	close(conns.epoll);
	close(listener);
	close(log_fd);
	free(image);
	free(other_image);
	return 0;
}

/* Its end is ours; conns.open has the connection. */
static int start_client(void)
{
	int fds[2];
	conns.image = image;
	assert_int_equal(ftruncate(log_fd, 0), 0);
	assert_int_equal(lseek(log_fd, 0, SEEK_SET), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_true(conn_start(&conns, fds[1]));
	return fds[0];
}

static void turn(int wait_ms)
{
	struct epoll_event events[8];
	int n = epoll_wait(conns.epoll, events, ARRAY_SIZE(events), wait_ms);
	for (int i = 0; i < n; i++)
		conn_event(events[i].data.ptr, events[i].events);
	conns_run_ready(&conns);
	conns_sweep(&conns);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns, until exactly so much has come. */
static void hear(int fd, const char *text)
{
	char buf[4096];
	size_t len = 0;
	assert_true(strlen(text) < sizeof(buf));
	for (int turns = 0; len < strlen(text); turns++) {
		assert_true(turns < TURNS_MAX);
		ssize_t n = recv(fd, buf + len, strlen(text) - len, MSG_DONTWAIT);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			turn(TURN_MS);
			continue;
		}
		assert_true(n > 0);
		len += (size_t) n;
	}
	assert_memory_equal(buf, text, len);
}

static int accept_origin(void)
{
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	for (int turns = 0; poll(&pfd, 1, 0) == 0; turns++) {
		assert_true(turns < TURNS_MAX);
		turn(TURN_MS);
	}
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void hear_end(int fd)
{
	char byte;
	ssize_t n;
	for (int turns = 0; (n = recv(fd, &byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN; turns++) {
		assert_true(turns < TURNS_MAX);
		turn(TURN_MS);
	}
	assert_int_equal(n, 0);
}

/* Is it in the log, which has n lines? */
static bool log_says(int n, const char *text)
{
	char buf[4096];
	ssize_t len = pread(log_fd, buf, sizeof(buf) - 1, 0);
	assert_true(len >= 0);
	buf[len] = '\0';
	for (const char *at = buf; (at = strchr(at, '\n')); at++)
		n--;
	assert_int_equal(n, 0);
	return strstr(buf, text);
}

#define REQUEST(host) "GET http://" host ":8080/ HTTP/1.1\r\nHost: x\r\n\r\n"
#define REQUEST_OUT "GET / HTTP/1.1\r\nHost: " HERE ":8080\r\nVia: 1.1 oci-egress\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define RESPONSE_OUT "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVia: 1.1 oci-egress\r\n\r\nok"

/* A connection that is kept, on both sides. Returns the origin's end. */
static int exchange_one(int client)
{
	say(client, REQUEST(HERE));
	int origin = accept_origin();
	hear(origin, REQUEST_OUT);
	say(origin, RESPONSE);
	hear(client, RESPONSE_OUT);
	return origin;
}

static void end(int client)
{
	close(client);
	conns_end_all(&conns, REASON_SHUTDOWN);
}

/* -- tests -- */

/* An event of the origin before may come when the next one is dialled: it says nothing of that one. */
static void test_an_event_of_the_origin_before(void **state)
{
	(void) state;
	int client = start_client();
	struct conn *conn = TAILQ_FIRST(&conns.open);
	int origin = exchange_one(client);
	say(client, REQUEST(SILENT));
	conn_event(&conn->client, EPOLLIN | EPOLLOUT);
	assert_int_equal(conn->state, DIAL);
	conn_event(&conn->origin, EPOLLOUT);
	assert_int_equal(conn->state, DIAL);
	assert_int_equal(conn->dial->n_attempts, 1);
	end(client);
	close(origin);
}

/* What a connection that is used again says of itself while it lasts, and after the policy has changed. */
static void test_where_a_kept_connection_leads(void **state)
{
	(void) state;
	int client = start_client();
	const struct conn *conn = TAILQ_FIRST(&conns.open);
	const struct scoreboard_slot *slot = conn->slot;
	struct address here;
	assert_true(address_parse4(HERE, strlen(HERE), &here));
	int origin = exchange_one(client);
	assert_int_equal(slot->dialled.family, 0);
	say(client, REQUEST(HERE));
	hear(origin, REQUEST_OUT);
	assert_true(address_equal(&slot->dialled, &here));
	assert_int_equal(slot->dialled_port, PORT);
	say(origin, RESPONSE);
	hear(client, RESPONSE_OUT);
	assert_true(log_says(2, "\"address\":\"" HERE "\""));

	review_conns(&conns, other_image, 0);
	say(client, REQUEST(HERE));
	hear(client, "HTTP/1.1 403 ");
	hear_end(origin);
	assert_true(log_says(3, "\"address\":null,\"verdict\":\"denied\""));
	end(client);
	close(origin);
}

/* One of an origin's addresses is forbidden by a new version of the policy, and not the one that is being dialled. */
static void test_what_a_new_policy_forbids_is_named(void **state)
{
	(void) state;
	int client = start_client();
	struct conn *conn = TAILQ_FIRST(&conns.open);
	say(client, REQUEST(SILENT));
	conn_event(&conn->client, EPOLLIN | EPOLLOUT);
	assert_int_equal(conn->state, DIAL);
	assert_true(address_parse4("10.0.0.1", strlen("10.0.0.1"), &conn->dial->addresses[conn->dial->n++]));
	review_conns(&conns, image, 0);
	hear(client, "HTTP/1.1 403 ");
	assert_true(log_says(1, "\"fix\":{\"networks\":[\"10.0.0.1/32\"]}"));
	end(client);
}

/* A network that the policy does not list any more is none to send another request to. */
static void test_a_kept_connection_is_checked_again(void **state)
{
	(void) state;
	int client = start_client();
	struct conn *conn = TAILQ_FIRST(&conns.open);
	int origin = exchange_one(client);
	assert_true(address_parse4("198.51.100.2", strlen("198.51.100.2"), &conn->dialled)); /* ours, and not listed */
	say(client, REQUEST(HERE));
	hear_end(origin);
	int second = accept_origin();
	hear(second, REQUEST_OUT);
	end(client);
	close(origin);
	close(second);
}

static size_t fill(int fd)
{
	char bytes[4096];
	size_t len = 0;
	memset(bytes, 'r', sizeof(bytes));
	for (ssize_t n; (n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0;)
		len += (size_t) n;
	assert_int_equal(errno, EAGAIN);
	return len;
}

static void hear_filling(int fd, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hear(fd, "r");
}

/* The client has not read its last response yet, and asks for a tunnel. */
static void test_a_tunnel_behind_a_response(void **state)
{
	(void) state;
	int client = start_client();
	struct conn *conn = TAILQ_FIRST(&conns.open);
	int origin = exchange_one(client);
	size_t len = fill(conn->client.fd);
	say(client, "CONNECT " HERE ":8080 HTTP/1.1\r\nHost: " HERE ":8080\r\n\r\nup");
	int second = accept_origin();
	hear(second, "up");
	say(second, "down");
	for (int turns = 0; turns < 3; turns++)
		turn(TURN_MS);
	assert_int_equal(conn->state, TUNNEL);
	hear_filling(client, len);
	hear(client, HTTP_TUNNEL_ANSWER);
	hear(client, "down");
	assert_int_equal(conn->relay.flows[RELAY_CLIENT].bytes, 2);
	assert_int_equal(conn->relay.flows[RELAY_ORIGIN].bytes, 4);
	end(client);
	close(origin);
	close(second);
}

/* The end comes with the request, before there is a tunnel: what then lies there of a ClientHello is all of it. */
static void test_the_end_behind_the_beginning_of_a_hello(void **state)
{
	(void) state;
	int client = start_client();
	say(client, "CONNECT " HERE ":8080 HTTP/1.1\r\nHost: " HERE ":8080\r\n\r\n\x16\x03\x01");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	int origin = accept_origin();
	hear(origin, "\x16\x03\x01");
	hear_end(origin);
	end(client);
	close(origin);
}

/* The client ends behind its second request, while the first one is on its way. */
static void test_the_end_behind_a_pipeline(void **state)
{
	(void) state;
	int client = start_client();
	say(client, REQUEST(HERE));
	int origin = accept_origin();
	hear(origin, REQUEST_OUT);
	say(client, REQUEST(HERE));
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	turn(TURN_MS);
	say(origin, RESPONSE);
	hear(client, RESPONSE_OUT);
	hear(origin, REQUEST_OUT);
	say(origin, RESPONSE);
	hear(client, RESPONSE_OUT);
	hear_end(client);
	hear_end(origin);
	end(client);
	close(origin);
}

static void test_what_an_upgrade_has_passed_on(void **state)
{
	(void) state;
	static const char upgrade[] = "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
	char text[256];
	int client = start_client();
	const struct conn *conn = TAILQ_FIRST(&conns.open);
	(void) snprintf(text, sizeof(text), "GET http://" HERE ":8080/ HTTP/1.1\r\nHost: x\r\n%s", upgrade);
	say(client, text);
	int origin = accept_origin();
	(void) snprintf(
		text, sizeof(text), "GET / HTTP/1.1\r\nHost: " HERE ":8080\r\nVia: 1.1 oci-egress\r\n%s", upgrade);
	uint64_t up = strlen(text);
	hear(origin, text);
	(void) snprintf(text, sizeof(text), "HTTP/1.1 101 Go\r\n%sfirst", upgrade);
	say(origin, text);
	(void) snprintf(text, sizeof(text), "HTTP/1.1 101 Go\r\nVia: 1.1 oci-egress\r\n%sfirst", upgrade);
	hear(client, text);
	uint64_t down = strlen(text);
	say(client, "hello");
	hear(origin, "hello");
	assert_int_equal(conn->state, TUNNEL);
	assert_int_equal(conn->relay.flows[RELAY_CLIENT].bytes, up + 5);
	assert_int_equal(conn->relay.flows[RELAY_ORIGIN].bytes, down);
	end(client);
	close(origin);
}

/* What epoll_wait(2) has, and no more: bulk is not among what it does. */
static void run_events(void)
{
	struct epoll_event events[8];
	int n = epoll_wait(conns.epoll, events, ARRAY_SIZE(events), TURN_MS);
	for (int i = 0; i < n; i++)
		conn_event(events[i].data.ptr, events[i].events);
}

/* A tunnel that is full of bulk waits until the events of a turn have been seen to; one that is not is one of them. */
static void test_bulk_waits_for_its_turn(void **state)
{
	(void) state;
	static char bulk[64 << 10];
	char byte;
	int client = start_client();
	const struct conn *conn = TAILQ_FIRST(&conns.open);
	say(client, "CONNECT " HERE ":8080 HTTP/1.1\r\nHost: " HERE ":8080\r\n\r\nup");
	int origin = accept_origin();
	hear(origin, "up");
	hear(client, HTTP_TUNNEL_ANSWER);
	say(client, "x");
	run_events();
	assert_int_equal(recv(origin, &byte, 1, MSG_DONTWAIT), 1);

	memset(bulk, 'r', sizeof(bulk));
	assert_int_equal(send(client, bulk, sizeof(bulk), MSG_NOSIGNAL), sizeof(bulk));
	hear_filling(origin, sizeof(bulk));
	assert_true(relay_is_bulk(&conn->relay));
	conns_run_ready(&conns);
	assert_false(conn->is_ready);
	say(client, "y");
	run_events();
	assert_true(conn->is_ready);
	assert_int_equal(recv(origin, &byte, 1, MSG_DONTWAIT), -1);
	conns_run_ready(&conns);
	assert_int_equal(recv(origin, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'y');
	end(client);
	close(origin);
}

static int open_door(struct accepting *accepting)
{
	struct address here;
	struct sockaddr_storage sa;
	struct error err;
	int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(address_parse4(HERE, strlen(HERE), &here));
	assert_int_equal(bind(door, (const struct sockaddr *) &sa, address_to_sockaddr(&here, PORT + 1, &sa)), 0);
	assert_int_equal(listen(door, 64), 0);
	assert_int_equal(accepting_start(accepting, door, &err), 0);
	return door;
}

/* However many come at once: those who are in have not to wait until all of them are. */
static void test_few_are_accepted_in_a_turn(void **state)
{
	(void) state;
	struct accepting accepting = { .conns = &conns, .max = 64, .channel = -1 };
	int clients[20], door = open_door(&accepting);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	conns.image = image;
	assert_int_equal(getsockname(door, (struct sockaddr *) &sa, &len), 0);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(clients[i], (const struct sockaddr *) &sa, len), 0);
	}
	for (uint32_t before = 0; conns.n < ARRAY_SIZE(clients); before = conns.n) {
		accepting_event(&accepting, EPOLLIN);
		assert_in_range(conns.n - before, 1, 4);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	conns_end_all(&conns, REASON_SHUTDOWN);
	accepting_stop(&accepting);
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	if (system("ip link set lo up && ip addr add " HERE "/32 dev lo && ip addr add 198.51.100.2/32 dev lo && "
		   "ip link add name hole type veth peer name sink && ip link set hole up && ip link set sink up && "
		   "ip route add " SILENT "/32 dev hole src " HERE " && "
		   "ip neigh add " SILENT " lladdr 02:00:00:00:00:01 dev hole") != 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_event_of_the_origin_before),
		cmocka_unit_test(test_where_a_kept_connection_leads),
		cmocka_unit_test(test_what_a_new_policy_forbids_is_named),
		cmocka_unit_test(test_a_kept_connection_is_checked_again),
		cmocka_unit_test(test_a_tunnel_behind_a_response),
		cmocka_unit_test(test_the_end_behind_the_beginning_of_a_hello),
		cmocka_unit_test(test_the_end_behind_a_pipeline),
		cmocka_unit_test(test_what_an_upgrade_has_passed_on),
		cmocka_unit_test(test_bulk_waits_for_its_turn),
		cmocka_unit_test(test_few_are_accepted_in_a_turn),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}
