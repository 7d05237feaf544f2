/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state     waits for                        deadline            ends in
 * HEAD      the client's request head        head_timeout_ms     RESOLVE; DIAL for an address; ANSWER
 * RESOLVE   the resolver                     resolve_timeout_ms  DIAL, ANSWER
 * DIAL      the origin's connection          connect_timeout_ms  TUNNEL; DIAL again; ANSWER
 * TUNNEL    either end                       idle_timeout_ms     LINGER, DONE
 * ANSWER    room for the rest of an answer   PARTING_TIMEOUT_MS  LINGER, DONE
 * LINGER    the client to have it all        PARTING_TIMEOUT_MS  DONE
 * DONE      the sweep that frees it
 *
 * An external proxy's connection begins in DIAL. The log line is written on the way into ANSWER, LINGER or DONE,
 * whichever comes first: ending.c.
 */
#include "proxy/conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proxy/conn_parts.h"
#include "proxy/dial.h"
#include "proxy/ending.h"
#include "proxy/filter.h"
#include "proxy/http.h"
#include "proxy/reading.h"
#include "proxy/relay.h"
#include "proxy/resolver.h"
#include "proxy/scoreboard.h"

void conns_init(struct conns *conns)
{
	TAILQ_INIT(&conns->open);
	TAILQ_INIT(&conns->ready);
	TAILQ_INIT(&conns->done);
	timers_init(&conns->timers);
}

void conn_set_deadline(struct conn *conn, enum timer_kind kind, uint32_t ms)
{
	timers_start(&conn->conns->timers, &conn->timer, kind, conn->conns->now_ms + ms);
}

void conn_close_source(struct source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

void conn_free_reading(struct conn *conn)
{
	reading_free(conn->reading);
	conn->reading = NULL;
}

void conn_leave_ready(struct conn *conn)
{
	if (conn->is_ready)
		TAILQ_REMOVE(&conn->conns->ready, conn, ready_entry);
	conn->is_ready = false;
}

static bool watch(struct conn *conn, struct source *source)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.ptr = source,
	};
	return epoll_ctl(conn->conns->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

/* -- the tunnel -- */

static void tunnel_run(struct conn *conn)
{
	struct conns *conns = conn->conns;
	const struct relay *relay = &conn->relay;
	uint64_t before = relay->flows[RELAY_CLIENT].bytes + relay->flows[RELAY_ORIGIN].bytes;
	enum relay_status status = relay_run(&conn->relay, &conns->pipes);

	if (relay->flows[RELAY_CLIENT].bytes + relay->flows[RELAY_ORIGIN].bytes != before)
		conn->active_ms = conns->now_ms; /* the idle timer looks at it when it is due */
	if (conn->slot) {
		conn->slot->bytes_up = relay->flows[RELAY_CLIENT].bytes;
		conn->slot->bytes_down = relay->flows[RELAY_ORIGIN].bytes;
	}
	switch (status) {
	case RELAY_WAITS:
		break;
	case RELAY_GOES_ON:
		if (!conn->is_ready)
			TAILQ_INSERT_TAIL(&conns->ready, conn, ready_entry);
		conn->is_ready = true;
		break;
	case RELAY_ENDED:
		ending_part(conn, REASON_ALLOWED, false, NULL);
		break;
	case RELAY_RESET:
		ending_abort(conn, relay->reset == RELAY_CLIENT ? REASON_CLIENT_RESET : REASON_ORIGIN_RESET);
		break;
	}
}

/* Here CONNECT becomes a tunnel. What the client sent behind its head is still in its socket, and goes first. */
static void tunnel_start(struct conn *conn)
{
	size_t len = strlen(HTTP_TUNNEL_ANSWER);
	free(conn->dial);
	conn->dial = NULL;
	/* nothing was sent before: the queue has room for all of it, or the socket is dead */
	if (!conn->conns->external_port &&
		send(conn->client.fd, HTTP_TUNNEL_ANSWER, len, MSG_NOSIGNAL) != (ssize_t) len) {
		ending_abort(conn, REASON_CLIENT_CLOSED);
		return;
	}
	conn->was_tunnel = true;
	atomic_fetch_add_explicit(&conn->conns->board->counters.allowed, 1, memory_order_relaxed);
	conn->state = TUNNEL;
	conn->active_ms = conn->conns->now_ms;
	conn_set_deadline(conn, TIMER_IDLE, conn->conns->image->limits.idle_timeout_ms);
	relay_init(&conn->relay, conn->client.fd, conn->origin.fd);
	tunnel_run(conn);
}

static void tunnel_expired(struct conn *conn)
{
	struct conns *conns = conn->conns;
	int64_t due_ms = conn->active_ms + conns->image->limits.idle_timeout_ms;
	if (due_ms > conns->now_ms)
		timers_start(&conns->timers, &conn->timer, TIMER_IDLE, due_ms);
	else
		ending_abort(conn, REASON_IDLE_TIMEOUT);
}

/* -- the origin -- */

static void dial_on(struct conn *conn)
{
	conn_close_source(&conn->origin);
	conn->origin.fd = dial_next(conn->dial, &conn->dialled);
	if (conn->origin.fd < 0) {
		ending_refuse(conn, conn->dial->failure, NULL);
		return;
	}
	if (conn->slot) {
		conn->slot->dialled = conn->dialled;
		conn->slot->dialled_port = conn->dial->port;
	}
	/* each address has its share of the time, so that one that does not answer leaves some for the next */
	uint32_t share = conn->conns->image->limits.connect_timeout_ms / conn->dial->n;
	conn_set_deadline(conn, TIMER_CONNECT, share ? share : 1);
	if (!watch(conn, &conn->origin))
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
}

static void dial_run(struct conn *conn)
{
	if (dial_connected(conn->dial, conn->origin.fd))
		tunnel_start(conn);
	else
		dial_on(conn);
}

static void dial_expired(struct conn *conn)
{
	conn->dial->failure = REASON_CONNECT_TIMEOUT;
	dial_on(conn);
}

static void dial_start(struct conn *conn, const struct address *addresses, size_t n)
{
	struct conns *conns = conn->conns;
	conn->dial = malloc(sizeof(*conn->dial));
	enum reason reason = conn->dial ? dial_prepare(conn->dial, conns->image, conns->route, addresses, n, conn->port)
					: REASON_LIMIT_RESOURCES;
	if (reason != REASON_NONE) {
		ending_refuse(conn, reason, NULL);
		return;
	}
	conn->state = DIAL;
	dial_on(conn);
}

static void dial_external(struct conn *conn)
{
	static const struct address loopback = { AF_INET, { 127, 0, 0, 1 } };
	conn->dial = malloc(sizeof(*conn->dial));
	if (!conn->dial) {
		ending_abort(conn, REASON_LIMIT_RESOURCES);
		return;
	}
	dial_prepare_unchecked(conn->dial, &loopback, conn->conns->external_port);
	conn->state = DIAL;
	dial_on(conn);
}

static void on_resolved(void *arg, enum reason reason, const struct address *addresses, size_t n)
{
	struct conn *conn = arg;
	conn->lookup = NULL;
	if (reason == REASON_NONE)
		dial_start(conn, addresses, n);
	else
		ending_refuse(conn, reason, NULL);
}

static void resolve_expired(struct conn *conn)
{
	/* one family may have come where the servers are silent about the other */
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	size_t n = resolver_cancel(conn->lookup, addresses);
	on_resolved(conn, n > 0 ? REASON_NONE : REASON_RESOLVE_TIMEOUT, addresses, n);
}

/* -- the request -- */

static void request_decided(struct conn *conn)
{
	struct conns *conns = conn->conns;
	struct decision decision = filter_decide(conns->image, &conn->host, conn->port);
	conn->rule = decision.rule;
	if (conn->slot && decision.rule)
		conn->slot->rule_line = decision.rule->line;
	if (decision.reason != REASON_ALLOWED) {
		ending_refuse(conn, decision.reason, NULL);
	} else if (conn->host.kind == HOST_ADDRESS) {
		dial_start(conn, &conn->host.address, 1);
	} else {
		conn->state = RESOLVE;
		conn_set_deadline(conn, TIMER_RESOLVE, conns->image->limits.resolve_timeout_ms);
		struct lookup *lookup;
		resolver_start(conns->resolver, &conn->host, on_resolved, conn, &lookup);
		if (lookup)
			conn->lookup = lookup;
	}
}

static void request_complete(struct conn *conn)
{
	const char *problem = NULL;
	struct reading *reading = conn->reading;
	enum reason reason = http_connect_target(&reading->head, reading->buf, &conn->host, &conn->port, &problem);
	if (reason != REASON_NONE) {
		ending_refuse(conn, reason, problem);
		return;
	}
	conn_free_reading(conn);
	if (conn->slot) {
		memcpy(conn->slot->host, conn->host.name, sizeof(conn->slot->host));
		conn->slot->host_len = conn->host.len;
		conn->slot->port = conn->port;
	}
	request_decided(conn);
}

/* A client that only half-closed still reads. One that never said a word gets none. */
static void head_ended(struct conn *conn, enum reason reason, const char *problem)
{
	if (conn->reading && conn->reading->len > 0)
		ending_refuse(conn, reason, problem);
	else
		ending_part(conn, reason == REASON_BAD_REQUEST ? REASON_CLIENT_CLOSED : reason, false, NULL);
}

static void head_run(struct conn *conn)
{
	if (!conn->reading)
		conn->reading = calloc(1, sizeof(*conn->reading));
	enum reading_result result =
		conn->reading ? reading_run(conn->reading, conn->client.fd, conn->conns->image->limits.head_bytes)
			      : READING_NO_MEMORY;
	switch (result) {
	case READING_WAITS:
		break;
	case READING_DONE:
		request_complete(conn);
		break;
	case READING_BAD:
		ending_refuse(conn, conn->reading->head.reason, conn->reading->head.problem);
		break;
	case READING_ENDED:
		head_ended(conn, REASON_BAD_REQUEST, "It ended in the middle of its head.");
		break;
	case READING_FAILED:
		ending_abort(conn, REASON_CLIENT_CLOSED);
		break;
	case READING_NO_MEMORY:
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
		break;
	}
}

/* -- events -- */

static void client_event(struct conn *conn, uint32_t events)
{
	/* while nothing is read a client that only half-closed may still want its answer */
	bool gone = events & (EPOLLHUP | EPOLLERR);
	if (conn->state == HEAD) {
		head_run(conn);
		if (!gone)
			return; /* else its request and its end came in one: this is the only event of that end */
	}
	switch (conn->state) {
	case RESOLVE:
	case DIAL:
		if (gone)
			ending_abort(conn, REASON_CLIENT_CLOSED);
		break;
	case TUNNEL:
		relay_note(&conn->relay, RELAY_CLIENT, events);
		tunnel_run(conn);
		break;
	case ANSWER:
		ending_answer(conn);
		break;
	case LINGER:
		ending_linger(conn);
		break;
	case HEAD:
	case DONE:
		break;
	}
}

static void origin_event(struct conn *conn, uint32_t events)
{
	if (conn->state == DIAL && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
		dial_run(conn);
	} else if (conn->state == TUNNEL) {
		relay_note(&conn->relay, RELAY_ORIGIN, events);
		tunnel_run(conn);
	}
}

void conn_event(struct source *source, uint32_t events)
{
	if (source->kind == SOURCE_CLIENT)
		client_event((struct conn *) ((char *) source - offsetof(struct conn, client)), events);
	else
		origin_event((struct conn *) ((char *) source - offsetof(struct conn, origin)), events);
}

static void conn_expired(struct conn *conn)
{
	switch (conn->state) {
	case HEAD:
		head_ended(conn, REASON_HEAD_TIMEOUT, NULL);
		break;
	case RESOLVE:
		resolve_expired(conn);
		break;
	case DIAL:
		dial_expired(conn);
		break;
	case TUNNEL:
		tunnel_expired(conn);
		break;
	case ANSWER:
	case LINGER:
		ending_expired(conn);
		break;
	case DONE:
		break;
	}
}

void conns_run_timers(struct conns *conns)
{
	for (struct timer *timer; (timer = timers_take_due(&conns->timers, conns->now_ms));)
		conn_expired((struct conn *) ((char *) timer - offsetof(struct conn, timer)));
}

void conns_run_ready(struct conns *conns)
{
	/* those that use up this turn too queue up behind the last one */
	struct conn *last = TAILQ_LAST(&conns->ready, conn_list);
	for (struct conn *conn = NULL; last && conn != last;) {
		conn = TAILQ_FIRST(&conns->ready);
		conn_leave_ready(conn);
		tunnel_run(conn);
	}
}

bool conns_sweep(struct conns *conns)
{
	bool any = !TAILQ_EMPTY(&conns->done);
	for (struct conn *conn; (conn = TAILQ_FIRST(&conns->done));) {
		TAILQ_REMOVE(&conns->done, conn, entry);
		conn_free_reading(conn);
		free(conn->dial);
		free(conn->parting);
		free(conn);
		conns->n--;
	}
	return any;
}

void conns_end_all(struct conns *conns, enum reason reason)
{
	for (struct conn *conn; (conn = TAILQ_FIRST(&conns->open));)
		ending_abort(conn, reason);
	conns_sweep(conns);
}

static int64_t realtime_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool conn_start(struct conns *conns, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn) {
		close(fd);
		return false;
	}
	conn->conns = conns;
	conn->client = (struct source){ .kind = SOURCE_CLIENT, .fd = fd };
	conn->origin = (struct source){ .kind = SOURCE_ORIGIN, .fd = -1 };
	conn->started_ms = conns->now_ms;
	conn->slot = scoreboard_take(conns->board, &conns->first_slot);
	if (conn->slot)
		conn->slot->started_ms = realtime_ms();
	TAILQ_INSERT_TAIL(&conns->open, conn, entry);
	conns->n++;
	atomic_fetch_add_explicit(&conns->board->counters.accepted, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&conns->board->counters.open, 1, memory_order_relaxed);

	int on = 1;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn_set_deadline(conn, TIMER_HEAD, conns->image->limits.head_timeout_ms);
	if (!watch(conn, &conn->client))
		ending_abort(conn, REASON_LIMIT_RESOURCES);
	else if (conns->external_port)
		dial_external(conn);
	return true;
}
