/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tunnel: bytes of which nobody reads any but the first, until both ends have ended or nothing moves any more. Where
 * the policy wants the name in a ClientHello to match, the client's direction is shut until that is known.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/exchange.h"
#include "proxy/keepalive.h"
#include "proxy/scoreboard.h"
#include "proxy/throttle.h"

void tunnel_run(struct conn *conn)
{
	struct conns *conns = conn->conns;
	const struct relay *relay = &conn->relay;
	uint64_t before = relay->flows[RELAY_CLIENT].bytes + relay->flows[RELAY_ORIGIN].bytes;
	struct relay_leave leave = { 0 };
	bool limited = throttle_give(conn, &leave);
	const struct relay_leave given = leave;
	enum relay_status status = relay_run(&conn->relay, &conns->pipes, limited ? &leave : NULL);
	if (limited)
		throttle_settle(conn, &given, &leave);

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
		conn_enter_ready(conn);
		break;
	case RELAY_ENDED:
		ending_complete(conn);
		break;
	case RELAY_RESET:
		ending_abort(conn, relay->reset == RELAY_CLIENT ? REASON_CLIENT_RESET : REASON_ORIGIN_RESET);
		break;
	}
}

static void set_idle_deadline(struct conn *conn)
{
	uint32_t idle_ms = conn->conns->image->limits.idle_timeout_ms;
	uint32_t young_ms = idle_ms / 2 < KEEPALIVE_AFTER_MS ? idle_ms / 2 : KEEPALIVE_AFTER_MS;
	if (conn->kept_alive)
		conn_set_deadline(conn, TIMER_IDLE, idle_ms);
	else
		conn_set_deadline(conn, TIMER_YOUNG, young_ms);
}

/* From here on nobody looks at a byte of the client's. */
static void open_up(struct conn *conn)
{
	conn->relay.flows[RELAY_CLIENT].shut = false;
	atomic_fetch_add_explicit(&conn->conns->board->counters.allowed, 1, memory_order_relaxed);
	scoreboard_mark(conn->slot, SCOREBOARD_COUNTED);
	if (timer_kind(&conn->timer) == TIMER_HEAD)
		set_idle_deadline(conn);
}

static void refuse_name(struct conn *conn, enum reason reason)
{
	const struct relay_flow *down = &conn->relay.flows[RELAY_ORIGIN];
	if (down->bytes == 0 && down->held == 0)
		sni_send_alert(conn->client.fd);
	ending_part(conn, reason, false, NULL);
}

/* Returns whether the tunnel goes on. */
static bool check_name(struct conn *conn)
{
	switch (sni_check(&conn->sni, conn->client.fd, conn->host, conn->client_ended)) {
	case SNI_WAITS:
		if (conn->sni.begun && timer_kind(&conn->timer) != TIMER_HEAD)
			conn_set_deadline(conn, TIMER_HEAD, conn->conns->image->limits.head_timeout_ms);
		return true;
	case SNI_PASSES:
		open_up(conn);
		return true;
	case SNI_REFUSED:
		refuse_name(conn, REASON_SNI_MISMATCH);
		return false;
	case SNI_FAILED:
		ending_abort(conn, REASON_CLIENT_RESET);
		return false;
	}
	return false;
}

void tunnel_event(struct conn *conn, enum relay_end end, uint32_t events)
{
	relay_note(&conn->relay, end, events);
	if (end == RELAY_CLIENT && conn->relay.flows[RELAY_CLIENT].shut && (events & ~(uint32_t) EPOLLOUT) &&
		!check_name(conn))
		return;
	/* bulk queues up: many tunnels full of it would keep a few bytes of another waiting for a turn of each */
	if (relay_is_bulk(&conn->relay))
		conn_enter_ready(conn);
	else
		tunnel_run(conn);
}

/* Where it begins with an exchange, what that has passed on is a part of it. */
static void take_over_exchange(struct conn *conn)
{
	for (int i = 0; conn->exchange && i < RELAY_ENDS; i++)
		conn->relay.flows[i].bytes = conn->exchange->flows[i].bytes;
	conn_free_exchange(conn);
}

/*
 * What the client sent behind its request is still in its socket, and goes first. The answer may have to queue up
 * behind a response that the client has not read yet.
 */
void tunnel_start(struct conn *conn, const char *answer, size_t len)
{
	relay_init(&conn->relay, conn->client.fd, conn->origin.fd);
	if (len > 0 && !relay_say(&conn->relay, RELAY_CLIENT, answer, len)) {
		ending_abort(conn, REASON_CLIENT_CLOSED);
		return;
	}
	take_over_exchange(conn);
	conn->was_tunnel = true;
	conn->state = TUNNEL;
	conn->active_ms = conn->conns->now_ms;
	set_idle_deadline(conn);
	for (int i = 0; i < RELAY_ENDS; i++)
		if (conn->quiet[i])
			relay_expect(&conn->relay, (enum relay_end) i);
	conn->relay.flows[RELAY_CLIENT].shut = true;
	if (!conn->door->checks_sni || conn->conns->image->sni == IMAGE_SNI_OFF)
		open_up(conn);
	else if (!conn->quiet[RELAY_CLIENT] && !check_name(conn))
		return;
	tunnel_run(conn);
}

void tunnel_expired(struct conn *conn)
{
	struct conns *conns = conn->conns;
	uint32_t idle_ms = conns->image->limits.idle_timeout_ms;
	if (conn->relay.flows[RELAY_CLIENT].shut && conn->sni.begun) {
		refuse_name(conn, REASON_SNI_TIMEOUT);
		return;
	}
	if (!conn->kept_alive) {
		conn->kept_alive = true;
		keepalive_set(conn->client.fd, idle_ms);
		keepalive_set(conn->origin.fd, idle_ms);
	}
	int64_t due_ms = conn->active_ms + idle_ms;
	if (due_ms > conns->now_ms)
		timers_start(&conns->timers, &conn->timer, TIMER_IDLE, due_ms);
	else
		ending_abort(conn, REASON_IDLE_TIMEOUT);
}

/* -- the external proxy's door -- */

static void external_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer)
{
	(void) conn;
	(void) reason;
	(void) problem;
	(void) answer;
}

static void external_connected(struct conn *conn)
{
	tunnel_start(conn, NULL, 0);
}

const struct door door_external = {
	.name = "external",
	.refuse = external_refuse,
	.connected = external_connected,
};
