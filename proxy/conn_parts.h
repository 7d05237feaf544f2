/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection is made of: shared by the files of its states, which the table at the top of conn.c names, and by
 * nobody else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/host.h"
#include "proxy/conn.h"
#include "proxy/http_answer.h"
#include "proxy/relay.h"
#include "proxy/sni.h"
#include "proxy/timers.h"

struct access_kept;
struct dial;
struct exchange;
struct http_head;
struct http_request;
struct lookup;
struct parting;
struct reading;
struct scoreboard_slot;
struct text;

/*
 * A door: the protocol in which a client asks for its destination, and in which it is answered. What lies behind is
 * the same for all.
 */
struct door {
	const char *name; /* in the log */
	bool checks_sni;  /* a ClientHello in its tunnels must name the host asked for, where the policy says so */
	/* Writes the answer that refuses: nothing where the reason or the door has none. */
	void (*refuse)(const struct conn *conn, enum reason reason, const char *problem, struct text *answer);
	/* The origin's connection is there. */
	void (*connected)(struct conn *conn);
};

extern const struct door door_connect;  /* request.c: HTTP CONNECT, and what is no request */
extern const struct door door_http;     /* forward.c: plain HTTP */
extern const struct door door_socks5;   /* handshake.c: SOCKS5 */
extern const struct door door_external; /* tunnel.c: an external proxy's bytes, which nobody reads here */

enum state { HEAD, HANDSHAKE, RESOLVE, DIAL, EXCHANGE, TUNNEL, ANSWER, LINGER, DONE };

/* Ends a connection after total_timeout_ms. */
struct lifetime {
	struct timer timer;
	struct conn *conn;
};

/* There may be thousands that idle: ordered so that it has no holes. */
struct conn {
	TAILQ_ENTRY(conn) entry; /* in conns->open or ->done */
	TAILQ_ENTRY(conn) ready_entry;
	TAILQ_ENTRY(conn) throttle_entry; /* where waits[] has any */
	struct conns *conns;
	const struct door *door;
	struct source client, origin;
	struct timer timer;
	struct lifetime *lifetime; /* NULL: none was set when it came */
	int64_t started_ms, active_ms; /* CLOCK_MONOTONIC */
	struct scoreboard_slot *slot;
	enum state state;
	bool is_ready;          /* in conns->ready */
	bool settled;           /* logged and counted */
	bool waits[RELAY_ENDS]; /* for bytes that it may take, proxy/throttle.h */
	bool quiet[RELAY_ENDS]; /* nothing has come that was not read: an event tells of what does */
	bool client_ended;      /* it has sent its last byte */
	bool client_odd;        /* an event told of more than bytes: a short read does not mean that all was read */
	bool kept_alive;        /* proxy/keepalive.h */
	bool greeted;           /* HANDSHAKE: the greeting was answered */

	/* what was asked for, and how it went; for the log */
	bool was_tunnel;
	bool was_answered; /* by the origin, or in its place */
	bool between;      /* an exchange is over and logged, and nothing of another request has come */
	bool served;       /* there was an exchange */
	struct http_answer_to answer_to;
	uint16_t port;          /* 0: not known yet */
	uint16_t origin_port;   /* of the origin that there is a connection to, whose host is the one last asked for */
	struct address dialled; /* or, with REASON_ADDRESS_FORBIDDEN, what must not be; family 0: none */
	struct sni sni;         /* TUNNEL, while relay.flows[RELAY_CLIENT] is shut */
	struct host *host;      /* only as long as its name; NULL: not known yet */
	const struct image_rule *rule; /* in conns->image */
	struct access_kept *kept;      /* in its place: on_reload kept a tunnel that the policy does not allow */

	/* of one state each */
	struct reading *reading;   /* HEAD */
	struct lookup *lookup;     /* RESOLVE */
	struct dial *dial;         /* DIAL */
	struct parting *parting;   /* ANSWER, LINGER */
	struct exchange *exchange; /* EXCHANGE, and on the way there */
	struct relay relay;        /* TUNNEL */
};

/* conn.c */
void conn_set_deadline(struct conn *conn, enum timer_kind kind, uint32_t ms);
/* Events of fd are source's from now on; until it is closed. */
bool conn_watch(struct conn *conn, struct source *source, int fd);
void conn_close_source(struct source *source);
void conn_free_reading(struct conn *conn);
void conn_free_exchange(struct conn *conn);
/* From now on it lasts, for the log. */
void conn_stamp(struct conn *conn);
/* Host and port are known: on the scoreboard too. False: no memory for it. */
bool conn_set_target(struct conn *conn, const struct host *host, uint16_t port);
/* Runs again when others have had their turn. */
void conn_enter_ready(struct conn *conn);
/* What the client sent with the request that was read, and after it, will be an event. */
bool conn_client_is_quiet(const struct conn *conn);
/* Its turn again: of HEAD, EXCHANGE and TUNNEL. */
void conn_run(struct conn *conn);
/* Whatever ends a tunnel takes it off the list: its descriptors may soon be another's. */
void conn_leave_ready(struct conn *conn);

/* request.c: HEAD */
void request_run(struct conn *conn);
void request_expired(struct conn *conn);
/* The answer of both doors of HTTP to what is refused; nothing where the reason has none. */
void request_refuse(const struct conn *conn, enum reason reason, const char *problem, struct text *answer);

/* handshake.c: HANDSHAKE, after a first byte that is SOCKS5's */
void handshake_start(struct conn *conn);
void handshake_run(struct conn *conn);
void handshake_ended(struct conn *conn); /* the client has sent its last byte */
void handshake_expired(struct conn *conn);

/* reach.c: RESOLVE and DIAL, from conn->host and ->port to door->connected() or ending_refuse(). A connection to the
 * origin that there is already is used again, where the policy still allows its address. */
void reach_start(struct conn *conn);
void reach_external(struct conn *conn);
void reach_origin_event(struct conn *conn, uint32_t events);
void reach_expired(struct conn *conn);

/* forward.c: EXCHANGE, from a request's head to the next one */
void forward_start(
	struct conn *conn, const struct http_head *head, const char *buf, const struct http_request *request);
void forward_event(struct conn *conn, enum relay_end end, uint32_t events);
void forward_run(struct conn *conn);
void forward_expired(struct conn *conn);
/* Of the origin's connection while none of the client's requests needs it. */
void forward_idle_event(struct conn *conn, uint32_t events);
void forward_drop_origin(struct conn *conn);

/* tunnel.c: TUNNEL. Opens it with an answer of len bytes to the client, then carries what comes. */
void tunnel_start(struct conn *conn, const char *answer, size_t len);
void tunnel_event(struct conn *conn, enum relay_end end, uint32_t events);
void tunnel_run(struct conn *conn);
void tunnel_expired(struct conn *conn);
