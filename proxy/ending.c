/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ending.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/access_log.h"
#include "proxy/conn_parts.h"
#include "proxy/dial.h"
#include "proxy/exchange.h"
#include "proxy/parting.h"
#include "proxy/resolver.h"
#include "proxy/scoreboard.h"
#include "proxy/throttle.h"

#define PARTING_TIMEOUT_MS 1000

static void set_linger(int fd, bool reset)
{
	struct linger linger = { .l_onoff = reset };
	(void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void count(const struct conn *conn, const struct access_entry *entry)
{
	struct scoreboard *board = conn->conns->board;
	struct scoreboard_counters *counters = &board->counters;
	const char *verdict = access_verdict(entry->reason, entry->passed);
	if (conn->was_tunnel && !conn->relay.flows[RELAY_CLIENT].shut)
		; /* counted when it was opened */
	else if (strcmp(verdict, "allowed") == 0)
		atomic_fetch_add_explicit(&counters->allowed, 1, memory_order_relaxed);
	else if (strcmp(verdict, "denied") == 0)
		atomic_fetch_add_explicit(&counters->denied, 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&counters->failed, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&counters->bytes_up, entry->bytes_up, memory_order_relaxed);
	atomic_fetch_add_explicit(&counters->bytes_down, entry->bytes_down, memory_order_relaxed);
	scoreboard_count(board, entry->reason);
}

static uint64_t bytes_from(const struct conn *conn, enum relay_end end)
{
	return conn->exchange ? conn->exchange->flows[end].bytes : conn->relay.flows[end].bytes;
}

/* How it went, of a tunnel or of one exchange: says so in the log, and counts it. */
static void tell(struct conn *conn, enum reason reason)
{
	struct conns *conns = conn->conns;
	bool forbidden = reason == REASON_ADDRESS_FORBIDDEN;
	const struct access_entry entry = {
		.via = conn->door->name,
		.host = conn->port ? conn->host : NULL,
		.port = conn->port,
		.dialled = conn->dialled.family && (conn->port || !conn->served) && !forbidden ? &conn->dialled : NULL,
		.forbidden = conn->dialled.family && forbidden ? &conn->dialled : NULL,
		.rule = conn->rule,
		.kept = conn->kept,
		.reason = reason,
		.passed = conn->was_tunnel || conn->was_answered,
		.bytes_up = bytes_from(conn, RELAY_CLIENT),
		.bytes_down = bytes_from(conn, RELAY_ORIGIN),
		.duration_ms = conns->now_ms - conn->started_ms,
	};
	access_log_write(conns->log, &entry);
	count(conn, &entry);
}

void ending_note(struct conn *conn, enum reason reason)
{
	tell(conn, reason);
	conn_free_exchange(conn);
	free(conn->kept);
	conn->kept = NULL;
	conn->rule = NULL;
	conn->port = 0;
	conn->was_answered = false;
	conn->between = conn->served = true;
	if (!conn->slot)
		return;
	scoreboard_mark(conn->slot, SCOREBOARD_BETWEEN);
	conn->slot->port = conn->slot->dialled_port = 0;
	conn->slot->host_len = 0;
	conn->slot->rule_line = 0;
	conn->slot->dialled.family = 0;
	conn->slot->bytes_up = conn->slot->bytes_down = 0;
}

/* Says how it went, where that was not said already, and lets go of everything but the sockets. */
static void settle(struct conn *conn, enum reason reason)
{
	struct conns *conns = conn->conns;
	if (conn->settled)
		return;
	conn->settled = true;
	if (!conn->between)
		tell(conn, reason);
	conn_free_exchange(conn);
	atomic_fetch_sub_explicit(&conns->board->counters.open, 1, memory_order_relaxed);
	scoreboard_release(conns->board, conn->slot, &conns->first_slot);
	conn->slot = NULL;
}

/* Else its answer would go on with a connection that was refused. */
static void forget_lookup(struct conn *conn)
{
	struct address unused[RESOLVER_ADDRESSES_MAX];
	if (conn->lookup)
		(void) resolver_cancel(conn->lookup, unused);
	conn->lookup = NULL;
}

static void done(struct conn *conn)
{
	struct conns *conns = conn->conns;

	conn->state = DONE;
	timers_stop(&conns->timers, &conn->timer);
	if (conn->lifetime)
		timers_stop(&conns->timers, &conn->lifetime->timer);
	forget_lookup(conn);
	if (conn->was_tunnel)
		relay_finish(&conn->relay, &conns->pipes);
	dial_close(conn->dial);
	conn_close_source(&conn->client);
	conn_close_source(&conn->origin);
	conn_leave_ready(conn);
	throttle_forget(conn);
	TAILQ_REMOVE(&conns->open, conn, entry);
	TAILQ_INSERT_TAIL(&conns->done, conn, entry);
}

void ending_abort(struct conn *conn, enum reason reason)
{
	settle(conn, reason);
	set_linger(conn->client.fd, true);
	if (conn->origin.fd >= 0)
		set_linger(conn->origin.fd, true);
	done(conn);
}

/* A close(2) without reset, of which nothing can stay behind in the kernel. */
static void close_in_order(struct conn *conn)
{
	set_linger(conn->client.fd, false);
	done(conn);
}

void ending_linger(struct conn *conn)
{
	switch (parting_linger(conn->parting, conn->client.fd)) {
	case PARTING_WAITS:
		break;
	case PARTING_OVER:
		close_in_order(conn);
		break;
	case PARTING_FAILED:
		done(conn);
		break;
	}
}

/*
 * What a tunnel or a response has left in the kernel, which may be megabytes, belongs to the client, however slowly it
 * reads: it has the same time for it as if it had not been passed on yet.
 */
static bool may_take_more(struct conn *conn)
{
	const struct conns *conns = conn->conns;
	const struct image_limits *limits = &conns->image->limits;
	bool outlived = conn->lifetime && timer_kind(&conn->lifetime->timer) == 0;
	if (conn->state != LINGER || !(conn->was_tunnel || conn->was_answered) || outlived)
		return false;
	if (conn->parting->drained >= PARTING_DRAIN_MAX)
		return false; /* nobody reads any more whether it has reset */
	if (parting_moves(conn->parting, conn->client.fd))
		conn->active_ms = conns->now_ms;
	return conns->now_ms - conn->active_ms < limits->idle_timeout_ms;
}

void ending_expired(struct conn *conn)
{
	if (parting_queued(conn->client.fd) == 0)
		close_in_order(conn);
	else if (may_take_more(conn))
		conn_set_deadline(conn, TIMER_LINGER, PARTING_TIMEOUT_MS);
	else
		done(conn);
}

void ending_answer(struct conn *conn)
{
	switch (parting_send(conn->parting, conn->client.fd)) {
	case PARTING_WAITS:
		break;
	case PARTING_OVER:
		conn->state = LINGER;
		ending_linger(conn);
		break;
	case PARTING_FAILED:
		done(conn);
		break;
	}
}

void ending_part(struct conn *conn, enum reason reason, bool answer, const char *problem)
{
	conn_free_reading(conn);
	conn_leave_ready(conn);
	throttle_forget(conn);
	forget_lookup(conn);
	dial_close(conn->dial);
	conn_close_source(&conn->origin);
	conn->parting = malloc(sizeof(*conn->parting));
	if (!conn->parting) {
		ending_abort(conn, reason);
		return;
	}
	parting_init(conn->parting);
	if (answer)
		conn->door->refuse(conn, reason, problem, &conn->parting->answer);
	settle(conn, reason);
	conn->state = ANSWER;
	conn_set_deadline(conn, TIMER_LINGER, PARTING_TIMEOUT_MS);
	ending_answer(conn);
}

void ending_complete(struct conn *conn)
{
	/* the client has ended, and has our end: the kernel has closed, and close(2) can neither wait nor reset */
	if (parting_queued(conn->client.fd) != 0) {
		ending_part(conn, REASON_ALLOWED, false, NULL);
		return;
	}
	settle(conn, REASON_ALLOWED);
	done(conn);
}

void ending_refuse(struct conn *conn, enum reason reason, const char *problem)
{
	if (reason_http_status(reason) == 0 || conn->conns->external_port)
		ending_abort(conn, reason);
	else
		ending_part(conn, reason, true, problem);
}
