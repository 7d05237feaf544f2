/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what was asked for to the connection to it: decided by the filter, looked up, every address checked, dialled.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "proxy/conn_parts.h"
#include "proxy/dial.h"
#include "proxy/ending.h"
#include "proxy/filter.h"
#include "proxy/resolver.h"
#include "proxy/scoreboard.h"

/* What the keeper writes of the connection if this process dies now. */
static void note_dialled(struct conn *conn, uint16_t port)
{
	if (!conn->slot)
		return;
	conn->slot->dialled = conn->dialled;
	conn->slot->dialled_port = port;
}

/* False: there is no address left. */
static bool dial_another(struct conn *conn)
{
	struct dial *dial = conn->dial;
	const struct dial_attempt *attempt = dial_next(dial, conn->conns->now_ms);
	if (!attempt)
		return false;
	conn->dialled = dial->addresses[attempt->address];
	note_dialled(conn, dial->port);
	if (!conn_watch(conn, &conn->origin, attempt->fd)) {
		dial->failure = REASON_LIMIT_RESOURCES;
		dial_close(dial);
		return false;
	}
	return true;
}

/* Beside those in flight, which may connect still. */
static void dial_on(struct conn *conn)
{
	struct dial *dial = conn->dial;
	if (!dial_another(conn) && dial->n_attempts == 0) {
		ending_refuse(conn, dial->failure, NULL);
		return;
	}
	int64_t due_ms = dial_due_ms(dial);
	timers_start(
		&conn->conns->timers, &conn->timer, due_ms < dial->deadline_ms ? TIMER_ATTEMPT : TIMER_CONNECT, due_ms);
}

static void dial_begins(struct conn *conn)
{
	conn->state = DIAL;
	dial_begin(conn->dial, conn->conns->now_ms, conn->conns->image->limits.connect_timeout_ms);
	dial_on(conn);
}

/* An event of one that lost may still come, in this turn: it is taken for one of the origin's, which forgives it. */
static void reached(struct conn *conn, int fd)
{
	conn->origin.fd = fd;
	note_dialled(conn, conn->dial->port);
	dial_close(conn->dial);
	free(conn->dial);
	conn->dial = NULL;
	conn->door->connected(conn);
}

/* Connected, and nothing has come from it. */
static bool shows_connected(uint32_t events)
{
	return (events & (EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR)) == EPOLLOUT;
}

static void dial_run(struct conn *conn, uint32_t events)
{
	unsigned before = conn->dial->n_attempts;
	/* of a connection that has had exchanges it may be the event of an origin that was left in this very turn */
	bool is_ours = !conn->served && shows_connected(events);
	int fd = is_ours ? dial_take_only(conn->dial, &conn->dialled) : -1;
	conn->quiet[RELAY_ORIGIN] = fd >= 0;
	if (fd < 0)
		fd = dial_check(conn->dial, &conn->dialled);
	if (fd >= 0)
		reached(conn, fd);
	else if (conn->dial->n_attempts < before)
		dial_on(conn);
}

static void dial_expired(struct conn *conn)
{
	if (conn->conns->now_ms >= conn->dial->deadline_ms)
		ending_refuse(conn, REASON_CONNECT_TIMEOUT, NULL);
	else
		dial_on(conn);
}

static void dial_start(struct conn *conn, const struct address *addresses, size_t n)
{
	struct conns *conns = conn->conns;
	conn->dial = calloc(1, sizeof(*conn->dial));
	enum reason reason = conn->dial ? dial_prepare(conn->dial, conns->image, conns->route, addresses, n, conn->port,
						  &conn->dialled)
					: REASON_LIMIT_RESOURCES;
	if (reason == REASON_NONE)
		dial_begins(conn);
	else
		ending_refuse(conn, reason, NULL);
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

/* As the last response left it, and its address may still be dialled. */
static bool is_reached(const struct conn *conn)
{
	return conn->origin.fd >= 0 && dial_is_permitted(conn->conns->image, conn->conns->route, &conn->dialled);
}

static void resolve_expired(struct conn *conn)
{
	/* one family may have come where the servers are silent about the other */
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	size_t n = resolver_cancel(conn->lookup, addresses);
	on_resolved(conn, n > 0 ? REASON_NONE : REASON_RESOLVE_TIMEOUT, addresses, n);
}

void reach_start(struct conn *conn)
{
	struct conns *conns = conn->conns;
	struct decision decision = filter_decide(conns->image, conn->host, conn->port);
	conn->rule = decision.rule;
	if (conn->slot && decision.rule)
		conn->slot->rule_line = decision.rule->line;
	if (decision.reason == REASON_ALLOWED && is_reached(conn)) {
		note_dialled(conn, conn->port);
		conn->door->connected(conn);
		return;
	}
	forward_drop_origin(conn);
	if (decision.reason != REASON_ALLOWED) {
		ending_refuse(conn, decision.reason, NULL);
	} else if (conn->host->kind == HOST_ADDRESS) {
		dial_start(conn, &conn->host->address, 1);
	} else {
		conn->state = RESOLVE;
		conn_set_deadline(conn, TIMER_RESOLVE, conns->image->limits.resolve_timeout_ms);
		struct lookup *lookup;
		resolver_start(conns->resolver, conn->host, on_resolved, conn, &lookup);
		if (lookup)
			conn->lookup = lookup;
	}
}

void reach_external(struct conn *conn)
{
	static const struct address loopback = { AF_INET, { 127, 0, 0, 1 } };
	conn->dial = calloc(1, sizeof(*conn->dial));
	if (!conn->dial) {
		ending_abort(conn, REASON_LIMIT_RESOURCES);
		return;
	}
	dial_prepare_unchecked(conn->dial, &loopback, conn->conns->external_port);
	dial_begins(conn);
}

void reach_origin_event(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		dial_run(conn, events);
}

void reach_expired(struct conn *conn)
{
	if (conn->state == RESOLVE)
		resolve_expired(conn);
	else
		dial_expired(conn);
}
