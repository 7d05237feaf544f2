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
	if (!conn_watch(conn, &conn->origin))
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
}

static void reached(struct conn *conn)
{
	free(conn->dial);
	conn->dial = NULL;
	conn->door->connected(conn);
}

static void dial_run(struct conn *conn)
{
	if (dial_connected(conn->dial, conn->origin.fd))
		reached(conn);
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

void reach_start(struct conn *conn)
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

void reach_external(struct conn *conn)
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

void reach_origin_event(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		dial_run(conn);
}

void reach_expired(struct conn *conn)
{
	if (conn->state == RESOLVE)
		resolve_expired(conn);
	else
		dial_expired(conn);
}
