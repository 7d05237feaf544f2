/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks for: the head of its request, and the answers to a CONNECT. */
#include <stdlib.h>
#include <string.h>

#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/http.h"
#include "proxy/reading.h"

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
	conn_show_target(conn);
	reach_start(conn);
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
	case READING_SOCKS:
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

/* -- the door of CONNECT -- */

static void connect_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer)
{
	(void) conn;
	if (reason_http_status(reason) != 0)
		http_answer(answer, reason, problem);
}

/* Here CONNECT becomes a tunnel. */
static void connect_connected(struct conn *conn)
{
	tunnel_start(conn, HTTP_TUNNEL_ANSWER, strlen(HTTP_TUNNEL_ANSWER));
}

const struct door door_connect = {
	.name = "connect",
	.checks_sni = true,
	.refuse = connect_refuse,
	.connected = connect_connected,
};
