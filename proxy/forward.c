/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain HTTP, forwarded: from a request's head to the end of the response, and on to the next request. Every request is
 * decided on its own; the connection to the origin is used again for the same authority only, and by no other client.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/exchange.h"
#include "proxy/filter.h"
#include "proxy/http_answer.h"
#include "proxy/scoreboard.h"
#include "proxy/throttle.h"

/* Whether the origin's connection is as the last response left it: neither ended, nor with a word that nobody asked
 * for. */
static bool origin_is_quiet(const struct conn *conn)
{
	char byte;
	return recv(conn->origin.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* The request is the last recipient's to answer, RFC 9110 section 7.6.2: and that are we. */
static void answer_here(struct conn *conn)
{
	forward_drop_origin(conn);
	struct decision decision = filter_decide(conn->conns->image, conn->host, conn->port);
	conn->rule = decision.rule;
	conn->was_answered = decision.reason == REASON_ALLOWED;
	ending_refuse(conn, decision.reason, NULL);
}

void forward_start(struct conn *conn, const struct http_head *head, const char *buf, const struct http_request *request)
{
	const struct image_limits *limits = &conn->conns->image->limits;
	bool same =
		conn->origin.fd >= 0 && conn->origin_port == request->port && host_equal(conn->host, &request->host);
	if (!same || !origin_is_quiet(conn))
		forward_drop_origin(conn);
	if (!conn_set_target(conn, &request->host, request->port)) {
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
		return;
	}
	conn->origin_port = request->port;
	conn->quiet[RELAY_CLIENT] = conn_client_is_quiet(conn);
	if (request->has_max_forwards && request->max_forwards == 0) {
		conn_free_reading(conn);
		answer_here(conn);
		return;
	}
	conn->exchange = exchange_new(
		head, buf, request, &(struct exchange_limits){ limits->response_head_bytes, limits->trailer_bytes });
	conn_free_reading(conn);
	if (conn->exchange)
		reach_start(conn);
	else
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
}

void forward_drop_origin(struct conn *conn)
{
	conn_close_source(&conn->origin);
	conn->dialled.family = 0;
}

/* The idle timer looks at when something last moved when it is due, as that of a tunnel does. */
static void forward_connected(struct conn *conn)
{
	bool reused = conn->state == HEAD; /* nothing was dialled */
	conn->quiet[RELAY_ORIGIN] |= reused;
	conn->state = EXCHANGE;
	conn->active_ms = conn->conns->now_ms;
	conn_set_deadline(conn, TIMER_IDLE, conn->conns->image->limits.idle_timeout_ms);
	exchange_start(conn->exchange, conn->client.fd, conn->origin.fd, conn->quiet, reused);
	forward_run(conn);
}

static void note_bytes(struct conn *conn, uint64_t before)
{
	const struct exchange_flow *flows = conn->exchange->flows;
	if (flows[RELAY_CLIENT].bytes + flows[RELAY_ORIGIN].bytes != before)
		conn->active_ms = conn->conns->now_ms;
	conn->was_answered = conn->exchange->has_response;
	if (!conn->slot)
		return;
	conn->slot->bytes_up = flows[RELAY_CLIENT].bytes;
	conn->slot->bytes_down = flows[RELAY_ORIGIN].bytes;
}

static enum exchange_status move(struct conn *conn)
{
	struct exchange *exchange = conn->exchange;
	uint64_t before = exchange->flows[RELAY_CLIENT].bytes + exchange->flows[RELAY_ORIGIN].bytes;
	struct relay_leave leave = { 0 };
	bool limited = throttle_give(conn, &leave);
	const struct relay_leave given = leave;
	enum exchange_status status = exchange_run(exchange, limited ? &leave : NULL);
	if (limited)
		throttle_settle(conn, &given, &leave);
	note_bytes(conn, before);
	return status;
}

static void leave_queues(struct conn *conn)
{
	conn_leave_ready(conn);
	throttle_forget(conn);
}

/* The response is whole. What follows on the client's connection is another request, or nothing. */
static void forward_ended(struct conn *conn)
{
	struct exchange *exchange = conn->exchange;
	bool client_fit = exchange->client_fit, may_have_more = exchange->ends[RELAY_CLIENT].readable;
	if (!client_fit) {
		ending_part(conn, REASON_ALLOWED, false, NULL);
		return;
	}
	if (!exchange->origin_fit)
		forward_drop_origin(conn);
	ending_note(conn, REASON_ALLOWED);
	conn->state = HEAD;
	leave_queues(conn);
	conn_set_deadline(conn, TIMER_IDLE, conn->conns->image->limits.idle_timeout_ms);
	if (may_have_more)
		conn_enter_ready(conn); /* not at once: a pipeline would nest its requests */
}

static void forward_upgraded(struct conn *conn)
{
	leave_queues(conn);
	conn->quiet[RELAY_CLIENT] = conn->quiet[RELAY_ORIGIN] = false;
	tunnel_start(conn, NULL, 0);
}

/* On a new connection, and through the whole of the decision again. */
static void forward_again(struct conn *conn)
{
	forward_drop_origin(conn);
	leave_queues(conn);
	conn->quiet[RELAY_CLIENT] &= !conn->exchange->ends[RELAY_CLIENT].readable;
	reach_start(conn);
}

static void forward_failed(struct conn *conn, enum reason reason, const char *problem)
{
	const struct exchange *exchange = conn->exchange;
	const struct exchange_flow *down = &exchange->flows[RELAY_ORIGIN];
	if (reason == REASON_CLIENT_RESET || exchange->resets)
		ending_abort(conn, reason);
	else if (exchange->has_response || down->start < down->end)
		ending_part(conn, reason, false, NULL);
	else
		ending_refuse(conn, reason, problem);
}

void forward_run(struct conn *conn)
{
	switch (move(conn)) {
	case EXCHANGE_WAITS:
		break;
	case EXCHANGE_GOES_ON:
		conn_enter_ready(conn);
		break;
	case EXCHANGE_ENDED:
		forward_ended(conn);
		break;
	case EXCHANGE_UPGRADED:
		forward_upgraded(conn);
		break;
	case EXCHANGE_STALE:
		forward_again(conn);
		break;
	case EXCHANGE_FAILED:
		forward_failed(conn, conn->exchange->reason, conn->exchange->problem);
		break;
	}
}

void forward_event(struct conn *conn, enum relay_end end, uint32_t events)
{
	exchange_note(conn->exchange, end, events);
	forward_run(conn);
}

void forward_idle_event(struct conn *conn, uint32_t events)
{
	if ((events & ~(uint32_t) EPOLLOUT) && conn->origin.fd >= 0 && !origin_is_quiet(conn))
		forward_drop_origin(conn);
}

void forward_expired(struct conn *conn)
{
	struct conns *conns = conn->conns;
	int64_t due_ms = conn->active_ms + conns->image->limits.idle_timeout_ms;
	if (due_ms > conns->now_ms)
		timers_start(&conns->timers, &conn->timer, TIMER_IDLE, due_ms);
	else if (conn->exchange->has_response)
		ending_abort(conn, REASON_IDLE_TIMEOUT);
	else if (exchange_wants_request(conn->exchange))
		forward_failed(conn, REASON_CONTENT_TIMEOUT, NULL);
	else
		forward_failed(conn, REASON_RESPONSE_TIMEOUT, NULL);
}

/* -- the door -- */

static void forward_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer)
{
	if (reason == REASON_ALLOWED)
		http_answer_options(answer);
	else
		request_refuse(conn, reason, problem, answer);
}

const struct door door_http = {
	.name = "http",
	.refuse = forward_refuse,
	.connected = forward_connected,
};
