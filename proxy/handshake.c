/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of SOCKS5: greeting, request, reply. Bytes are looked at first, and taken when they are known to be the
 * handshake's: what follows is the tunnel's, and stays in the client's socket.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "proxy/conn_parts.h"
#include "proxy/ending.h"
#include "proxy/socks.h"

/* One deadline for all of it, from accept(2): nothing here sets it anew. */
void handshake_start(struct conn *conn)
{
	conn->door = &door_socks5;
	conn->state = HANDSHAKE;
	handshake_run(conn);
}

static bool take(struct conn *conn, uint8_t *bytes, size_t len)
{
	if (recv(conn->client.fd, bytes, len, 0) == (ssize_t) len)
		return true;
	ending_abort(conn, REASON_CLIENT_CLOSED);
	return false;
}

/* Whether there may be more to do at once. */
static bool run_greeting(struct conn *conn, uint8_t *bytes, size_t len)
{
	size_t greeting_len;
	enum socks_method method;
	if (socks_parse_greeting(bytes, len, &greeting_len, &method) != PARSE_DONE || !take(conn, bytes, greeting_len))
		return false; /* it began with the version, so it is never PARSE_BAD */
	if (method == SOCKS_NO_ACCEPTABLE_METHODS) {
		ending_refuse(conn, REASON_BAD_REQUEST, "every method that the client offers wants authentication");
		return false;
	}

	char answer[SOCKS_METHOD_LEN];
	socks_write_method(method, answer);
	/* nothing was sent before: the queue has room for all of it, or the socket is dead */
	if (send(conn->client.fd, answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t) sizeof(answer)) {
		ending_abort(conn, REASON_CLIENT_CLOSED);
		return false;
	}
	conn->greeted = true;
	return true;
}

static void run_request(struct conn *conn, uint8_t *bytes, size_t len)
{
	struct socks_request request = { 0 };
	switch (socks_parse_request(bytes, len, &request)) {
	case PARSE_MORE:
		break;
	case PARSE_BAD:
		ending_refuse(conn, request.reason, request.problem);
		break;
	case PARSE_DONE:
		if (!take(conn, bytes, request.len))
			break;
		if (conn_set_target(conn, &request.host, request.port))
			reach_start(conn);
		else
			ending_refuse(conn, REASON_LIMIT_RESOURCES, NULL);
		break;
	}
}

void handshake_run(struct conn *conn)
{
	uint8_t bytes[SOCKS_MESSAGE_MAX];
	bool again;
	do {
		again = false;
		ssize_t n = recv(conn->client.fd, bytes, sizeof(bytes), MSG_PEEK);
		if (n < 0 && errno != EAGAIN)
			ending_abort(conn, REASON_CLIENT_CLOSED);
		else if (n == 0)
			ending_part(conn, REASON_CLIENT_CLOSED, false, NULL);
		else if (n > 0 && conn->greeted)
			run_request(conn, bytes, (size_t) n);
		else if (n > 0)
			again = run_greeting(conn, bytes, (size_t) n);
	} while (again);
}

/* A client that has not asked for anything yet gets no answer. */
void handshake_ended(struct conn *conn)
{
	if (conn->state == HANDSHAKE)
		ending_part(conn, REASON_CLIENT_CLOSED, false, NULL);
}

void handshake_expired(struct conn *conn)
{
	ending_part(conn, REASON_HEAD_TIMEOUT, false, NULL);
}

/* -- the door -- */

static void socks5_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer)
{
	(void) problem; /* a reply is one byte: the log has the rest */
	if (!conn->greeted) {
		char method[SOCKS_METHOD_LEN];
		socks_write_method(SOCKS_NO_ACCEPTABLE_METHODS, method);
		text_add_bytes(answer, method, sizeof(method));
		return;
	}
	char reply[SOCKS_REPLY_LEN];
	socks_write_reply(socks_reply_of(reason), reply);
	text_add_bytes(answer, reply, sizeof(reply));
}

static void socks5_connected(struct conn *conn)
{
	char reply[SOCKS_REPLY_LEN];
	socks_write_reply(SOCKS_SUCCEEDED, reply);
	tunnel_start(conn, reply, sizeof(reply));
}

const struct door door_socks5 = {
	.name = "socks5",
	.checks_sni = true,
	.refuse = socks5_refuse,
	.connected = socks5_connected,
};
