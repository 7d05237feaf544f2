/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request and its response, between two connected TCP sockets: both heads written anew, content re-framed
 * through bounded buffers, both ways at once. Both sockets are non-blocking and registered with epoll for EPOLLIN |
 * EPOLLOUT | EPOLLRDHUP | EPOLLET by the caller, who keeps them: an exchange never closes one. Of the client it takes
 * not a byte behind the request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/http_content.h"
#include "proxy/http_head.h"
#include "proxy/http_request.h"
#include "proxy/http_response.h"
#include "proxy/relay.h"

/* Policy, as far as it matters here. */
struct exchange_limits {
	uint32_t response_head_bytes;
	uint32_t trailer_bytes;
};

enum exchange_status {
	EXCHANGE_WAITS,    /* for an event of either end */
	EXCHANGE_GOES_ON,  /* has used up its turn: run it again when others have had theirs */
	EXCHANGE_ENDED,    /* the whole response was passed on */
	EXCHANGE_UPGRADED, /* the client has the 101 and what the origin said behind it: a tunnel from here on */
	EXCHANGE_STALE,    /* the origin had ended a connection that was used before: ask on a new one */
	EXCHANGE_FAILED,   /* exchange->reason and ->problem say why */
};

/* An end, and what the kernel last said of it; only EAGAIN takes it back, or that less came than was asked for. */
struct exchange_end {
	int fd;
	bool readable;
	bool writable;
	bool may_end; /* the end of file may be behind what there is to read */
	bool reset;   /* of the origin: it takes nothing more */
};

/* A direction: what is in buf[start..end) is on its way. */
struct exchange_flow {
	char *buf;
	size_t size, start, end;
	struct http_content content;
	uint64_t bytes; /* passed on */
};

struct exchange {
	struct exchange_limits limits;
	struct exchange_end ends[RELAY_ENDS];
	struct exchange_flow flows[RELAY_ENDS]; /* by the end that they come from */

	/* of the request */
	bool to_head, to_websocket, to_old; /* HEAD; asks for the upgrade; of an HTTP/1.0 client */
	bool keeps;                         /* the client would like to go on */
	bool can_repeat;                    /* it may be sent again */
	bool reused;                        /* the origin's connection had a request before this one */
	bool stale;                         /* and was at its end */
	size_t request_len;                 /* of its head, with which flows[RELAY_CLIENT].buf begins */

	/* of the response */
	struct http_head head; /* on its way in */
	char *raw;             /* what came of it and behind it, from raw[raw_start] */
	size_t raw_size, raw_start, raw_len;
	uint8_t interims;  /* how many 1xx there were */
	bool has_response; /* its head, the last one, is on its way */
	bool upgraded;
	bool excess;        /* the origin said more than the response */
	enum reason broken; /* what comes of it ends early */
	bool client_fit;    /* EXCHANGE_ENDED: another request may follow */
	bool origin_fit;    /* EXCHANGE_ENDED: and on this connection */
	bool resets;        /* only a reset tells the client that what it has is not all */

	enum reason reason;  /* with EXCHANGE_FAILED */
	const char *problem; /* a constant sentence, or NULL */
};

/* An exchange for a request that http_request_read() has read; buf may go then. NULL: there is no memory for it. */
struct exchange *exchange_new(const struct http_head *head, const char *buf, const struct http_request *request,
	const struct exchange_limits *limits);
void exchange_free(struct exchange *exchange);

/*
 * Begins, or begins again after EXCHANGE_STALE. An end that is quiet has sent nothing that was not read: events will
 * tell of all that it does. reused: the origin's connection had a request before.
 */
void exchange_start(struct exchange *exchange, int client, int origin, const bool quiet[RELAY_ENDS], bool reused);

/* Notes what epoll_wait(2) has reported of an end; exchange_run() then makes use of it. */
void exchange_note(struct exchange *exchange, enum relay_end end, uint32_t events);

/* Moves what can be moved, up to a turn's worth, and as leave permits: NULL is all. */
enum exchange_status exchange_run(struct exchange *exchange, struct relay_leave *leave);

/* Is the request's content still to come? */
bool exchange_wants_request(const struct exchange *exchange);
