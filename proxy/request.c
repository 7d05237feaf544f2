/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks for: the head of its request. For a CONNECT also the answers. */
#include <stdlib.h>
#include <string.h>

#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/http_accept.h"
#include "proxy/http_request.h"
#include "proxy/reading.h"

/* The door is known by the method, as soon as there is one. */
static void choose_door(struct conn *conn)
{
	const struct reading *reading = conn->reading;
	struct http_span method = reading->head.method;
	bool forwards = method.len > 0 ? !http_span_is(reading->buf, method, "CONNECT") : conn->served;
	conn->door = forwards ? &door_http : &door_connect;
}

static void connect_start(struct conn *conn, const struct http_request *request)
{
	forward_drop_origin(conn);
	conn->quiet[RELAY_CLIENT] = conn_client_is_quiet(conn);
	conn_free_reading(conn);
	if (conn_set_target(conn, &request->host, request->port))
		reach_start(conn);
	else
		ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
}

static void request_complete(struct conn *conn)
{
	const struct reading *reading = conn->reading;
	struct http_request request;
	const char *problem = NULL;
	enum reason reason = http_request_read(&reading->head, reading->buf, &request, &problem);
	conn->answer_to = (struct http_answer_to){
		.wants_json = http_accepts_json(&reading->head, reading->buf),
		.is_head = http_span_is(reading->buf, reading->head.method, "HEAD"),
	};
	if (reason != REASON_NONE)
		ending_refuse(conn, reason, problem);
	else if (request.is_connect)
		connect_start(conn, &request);
	else
		forward_start(conn, &reading->head, reading->buf, &request);
}

/* The first byte of another request on a connection that was kept: from here on it is as one that came by itself. */
static void request_begins(struct conn *conn)
{
	conn->between = false;
	conn->answer_to = (struct http_answer_to){ 0 };
	conn_stamp(conn);
	conn_set_deadline(conn, TIMER_HEAD, conn->conns->image->limits.head_timeout_ms);
}

/* A client that only half-closed still reads. One that never said a word gets none. */
static void head_ended(struct conn *conn, enum reason reason, const char *problem)
{
	if (conn->reading && conn->reading->len > 0)
		ending_refuse(conn, reason, problem);
	else
		ending_part(conn, reason == REASON_BAD_REQUEST ? REASON_CLIENT_CLOSED : reason, false, NULL);
}

void request_run(struct conn *conn)
{
	if (!conn->reading)
		conn->reading = reading_new();
	enum reading_result result =
		conn->reading ? reading_run(conn->reading, conn->client.fd, conn->conns->image->limits.head_bytes)
			      : READING_NO_MEMORY;
	bool begun = conn->reading && conn->reading->len > 0;
	bool is_idle = result == READING_WAITS || result == READING_ENDED || result == READING_FAILED;
	if (conn->between && (begun || !is_idle) && result != READING_ENDED)
		request_begins(conn);
	if (conn->reading)
		choose_door(conn);
	switch (result) {
	case READING_WAITS:
		break;
	case READING_DONE:
		request_complete(conn);
		break;
	case READING_SOCKS:
		if (conn->served) {
			ending_refuse(conn, REASON_BAD_REQUEST, "A connection speaks SOCKS5 from its first byte on.");
			break;
		}
		conn_free_reading(conn);
		handshake_start(conn);
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

void request_expired(struct conn *conn)
{
	head_ended(conn, REASON_HEAD_TIMEOUT, NULL);
}

void request_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer)
{
	const struct refusal refusal = {
		.reason = reason,
		.problem = problem,
		.host = conn->port ? conn->host : NULL,
		.port = conn->port,
		.image = conn->conns->image,
		.rule = conn->rule,
	};
	if (reason_http_status(reason) != 0)
		http_answer(answer, &refusal, conn->answer_to);
}

/* -- the door of CONNECT -- */

/* Here CONNECT becomes a tunnel. */
static void connect_connected(struct conn *conn)
{
	tunnel_start(conn, HTTP_TUNNEL_ANSWER, strlen(HTTP_TUNNEL_ANSWER));
}

const struct door door_connect = {
	.name = "connect",
	.checks_sni = true,
	.refuse = request_refuse,
	.connected = connect_connected,
};
