/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a client, from accept(2) to its log line. Its states are the table at the top of conn.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "oci/image.h"
#include "proxy/bucket.h"
#include "proxy/pipes.h"
#include "proxy/reason.h"
#include "proxy/timers.h"

struct access_log;
struct conn;
struct resolver;
struct scoreboard;

TAILQ_HEAD(conn_list, conn);

/* What registered descriptors are; epoll_event.data.ptr points to a source. */
enum source_kind {
	SOURCE_LISTENER,
	SOURCE_CHANNEL,
	SOURCE_SIGNAL,
	SOURCE_RESOLVER,
	SOURCE_CLIENT, /* inside a conn */
	SOURCE_ORIGIN, /* inside a conn */
};

struct source {
	enum source_kind kind;
	int fd; /* -1: closed */
};

/* proxy/throttle.h; the directions by enum relay_end. */
struct throttle {
	struct bucket buckets[2];
	uint32_t n_waiting[2];
	struct conn_list queue;    /* of those that wait for either */
	const struct conn *served; /* whose turn it is; NULL: nobody's in particular */
};

/* What connections of one worker share. The worker owns it and all that it points to. */
struct conns {
	int epoll;
	int route; /* proxy/route.h */
	const struct image *image;
	uint16_t external_port; /* 0: the builtin proxy */
	struct resolver *resolver;
	struct access_log *log;
	struct scoreboard *board;
	uint32_t first_slot; /* of the scoreboard: none before it is free */
	struct pipes pipes;
	struct timers timers;
	struct throttle throttle;
	int64_t now_ms; /* CLOCK_MONOTONIC, of the current turn of the loop */

	uint32_t n;
	struct conn_list open;
	struct conn_list ready; /* with much to do, when the events of a turn have been seen to */
	struct conn_list done;  /* to be freed when no event of this turn can name them any more */
};

void conns_init(struct conns *conns);

/* Takes over an accepted, non-blocking socket. False where there is no memory for it: the socket is closed. */
bool conn_start(struct conns *conns, int fd);

/* What epoll_wait(2) has reported of a source of a conn. */
void conn_event(struct source *source, uint32_t events);

/* Deadlines that have passed; and some of the conns that are ready, of which the rest has its turn in the next. */
void conns_run_timers(struct conns *conns);
void conns_run_ready(struct conns *conns);

/* Frees what is done. Returns whether there was any. */
bool conns_sweep(struct conns *conns);

/* Ends all that are open, and frees them. */
void conns_end_all(struct conns *conns, enum reason reason);
