/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state     waits for                        deadline            ends in                        file
 * HEAD      the client's request head        head_timeout_ms     RESOLVE; DIAL for an address;  request.c
 *                                                                ANSWER; HANDSHAKE for SOCKS5;
 *                                                                EXCHANGE for plain HTTP
 * HANDSHAKE the client's SOCKS5 request      head_timeout_ms     RESOLVE, DIAL, ANSWER          handshake.c
 * RESOLVE   the resolver                     resolve_timeout_ms  DIAL, ANSWER                   reach.c
 * DIAL      the first address to connect     connect_timeout_ms  TUNNEL, EXCHANGE, ANSWER       reach.c
 * EXCHANGE  either end                       idle_timeout_ms     HEAD for another request;      forward.c
 *                                                                TUNNEL; ANSWER, LINGER, DONE
 * TUNNEL    either end; first, the client's  idle_timeout_ms,    LINGER, DONE                   tunnel.c
 *           TLS hello                        head_timeout_ms
 * ANSWER    room for the rest of an answer   PARTING_TIMEOUT_MS  LINGER, DONE                   ending.c
 * LINGER    the client to have it all        PARTING_TIMEOUT_MS, DONE                           ending.c
 *                                            idle_timeout_ms
 * DONE      the sweep that frees it
 *
 * Beside these, all states up to TUNNEL end when the connection has been open for total_timeout_ms, and in DONE at once
 * when there is nobody left to answer: the client has reset, or the worker ends.
 *
 * An external proxy's connection begins in DIAL. head_timeout_ms counts from accept(2). The log line is written on the
 * way into ANSWER, LINGER or DONE, whichever comes first.
 */
#include "proxy/conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/exchange.h"
#include "proxy/reading.h"
#include "proxy/scoreboard.h"

/* Then what has happened meanwhile comes first: each may take as long as it takes to move a megabyte either way. */
#define READY_PER_TURN 4

void conns_init(struct conns *conns)
{
	TAILQ_INIT(&conns->open);
	TAILQ_INIT(&conns->ready);
	TAILQ_INIT(&conns->done);
	TAILQ_INIT(&conns->throttle.queue);
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

void conn_free_exchange(struct conn *conn)
{
	exchange_free(conn->exchange);
	conn->exchange = NULL;
}

bool conn_set_target(struct conn *conn, const struct host *host, uint16_t port)
{
	if (!conn->host || !host_equal(conn->host, host)) {
		size_t size = offsetof(struct host, name) + host->len + 1u;
		free(conn->host);
		conn->port = 0;
		conn->host = malloc(size);
		if (!conn->host)
			return false;
		memcpy(conn->host, host, size);
	}
	conn->port = port;
	if (conn->slot) {
		scoreboard_set_host(conn->conns->board, conn->slot, host->name, host->len);
		conn->slot->port = port;
	}
	return true;
}

void conn_enter_ready(struct conn *conn)
{
	if (!conn->is_ready)
		TAILQ_INSERT_TAIL(&conn->conns->ready, conn, ready_entry);
	conn->is_ready = true;
}

void conn_leave_ready(struct conn *conn)
{
	if (conn->is_ready)
		TAILQ_REMOVE(&conn->conns->ready, conn, ready_entry);
	conn->is_ready = false;
}

bool conn_watch(struct conn *conn, struct source *source, int fd)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.ptr = source,
	};
	return epoll_ctl(conn->conns->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool conn_client_is_quiet(const struct conn *conn)
{
	return !conn->reading->more && !conn->client_odd;
}

void conn_run(struct conn *conn)
{
	if (conn->state == HEAD)
		request_run(conn);
	else if (conn->state == EXCHANGE)
		forward_run(conn);
	else if (conn->state == TUNNEL)
		tunnel_run(conn);
}

/* Before there is a tunnel. */
static void hear(struct conn *conn, enum relay_end end, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
		conn->quiet[end] = false;
}

static void client_event(struct conn *conn, uint32_t events)
{
	/* while nothing is read a client that only half-closed may still want its answer */
	bool gone = events & (EPOLLHUP | EPOLLERR);
	conn->client_ended |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	conn->client_odd |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
	if (conn->state == HEAD || conn->state == HANDSHAKE) {
		conn->state == HEAD ? request_run(conn) : handshake_run(conn);
		if (conn->state == HANDSHAKE && (events & EPOLLRDHUP))
			handshake_ended(conn);
		if (!gone)
			return; /* else its request and its end came in one: this is the only event of that end */
	}
	switch (conn->state) {
	case RESOLVE:
	case DIAL:
		hear(conn, RELAY_CLIENT, events);
		if (gone)
			ending_abort(conn, REASON_CLIENT_CLOSED);
		break;
	case EXCHANGE:
		forward_event(conn, RELAY_CLIENT, events);
		break;
	case TUNNEL:
		tunnel_event(conn, RELAY_CLIENT, events);
		break;
	case ANSWER:
		ending_answer(conn);
		break;
	case LINGER:
		ending_linger(conn);
		break;
	case HEAD:
	case HANDSHAKE:
	case DONE:
		break;
	}
}

static void origin_event(struct conn *conn, uint32_t events)
{
	if (conn->state == DIAL)
		reach_origin_event(conn, events);
	else if (conn->state == EXCHANGE)
		forward_event(conn, RELAY_ORIGIN, events);
	else if (conn->state == TUNNEL)
		tunnel_event(conn, RELAY_ORIGIN, events);
	else if (conn->state == HEAD)
		forward_idle_event(conn, events);
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
		request_expired(conn);
		break;
	case HANDSHAKE:
		handshake_expired(conn);
		break;
	case RESOLVE:
	case DIAL:
		reach_expired(conn);
		break;
	case EXCHANGE:
		forward_expired(conn);
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

/* It was open for total_timeout_ms. */
static void conn_outlived(struct conn *conn)
{
	switch (conn->state) {
	case RESOLVE:
	case DIAL:
		ending_refuse(conn, REASON_TOTAL_TIMEOUT, NULL);
		break;
	case ANSWER:
	case LINGER:
	case DONE: /* its end has a deadline of its own */
		break;
	default:
		ending_abort(conn, REASON_TOTAL_TIMEOUT);
		break;
	}
}

void conns_run_timers(struct conns *conns)
{
	enum timer_kind kind;
	for (struct timer *timer; (timer = timers_take_due(&conns->timers, conns->now_ms, &kind));) {
		if (kind == TIMER_TOTAL)
			conn_outlived(((struct lifetime *) ((char *) timer - offsetof(struct lifetime, timer)))->conn);
		else
			conn_expired((struct conn *) ((char *) timer - offsetof(struct conn, timer)));
	}
}

void conns_run_ready(struct conns *conns)
{
	struct conn *conn;
	for (int i = 0; i < READY_PER_TURN && (conn = TAILQ_FIRST(&conns->ready)); i++) {
		conn_leave_ready(conn);
		conn_run(conn);
	}
}

bool conns_sweep(struct conns *conns)
{
	bool any = !TAILQ_EMPTY(&conns->done);
	for (struct conn *conn; (conn = TAILQ_FIRST(&conns->done));) {
		TAILQ_REMOVE(&conns->done, conn, entry);
		conn_free_reading(conn);
		conn_free_exchange(conn);
		free(conn->dial);
		free(conn->parting);
		free(conn->kept);
		free(conn->host);
		free(conn->lifetime);
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

void conn_stamp(struct conn *conn)
{
	conn->started_ms = conn->conns->now_ms;
	if (!conn->slot)
		return;
	scoreboard_mark(conn->slot, SCOREBOARD_OPEN);
	conn->slot->started_ms = clock_realtime_ms();
}

static struct conn *conn_new(uint32_t total_timeout_ms)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn || total_timeout_ms == 0)
		return conn;
	conn->lifetime = calloc(1, sizeof(*conn->lifetime));
	if (conn->lifetime) {
		conn->lifetime->conn = conn;
		return conn;
	}
	free(conn);
	return NULL;
}

bool conn_start(struct conns *conns, int fd)
{
	uint32_t total_timeout_ms = conns->image->limits.total_timeout_ms;
	struct conn *conn = conn_new(total_timeout_ms);
	if (!conn) {
		close(fd);
		return false;
	}
	conn->conns = conns;
	conn->door = conns->external_port ? &door_external : &door_connect;
	conn->client = (struct source){ .kind = SOURCE_CLIENT, .fd = fd };
	conn->origin = (struct source){ .kind = SOURCE_ORIGIN, .fd = -1 };
	conn->slot = scoreboard_take(conns->board, &conns->first_slot);
	conn_stamp(conn);
	TAILQ_INSERT_TAIL(&conns->open, conn, entry);
	conns->n++;
	atomic_fetch_add_explicit(&conns->board->counters.accepted, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&conns->board->counters.open, 1, memory_order_relaxed);

	conn_set_deadline(conn, TIMER_HEAD, conns->image->limits.head_timeout_ms);
	if (conn->lifetime)
		timers_start(&conns->timers, &conn->lifetime->timer, TIMER_TOTAL, conns->now_ms + total_timeout_ms);
	if (!conn_watch(conn, &conn->client, fd))
		ending_abort(conn, REASON_LIMIT_RESOURCES);
	else if (conns->external_port)
		reach_external(conn);
	return true;
}
