/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection is made of: shared by its states (conn.c) and its end (ending.c), and by nobody else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/host.h"
#include "proxy/conn.h"
#include "proxy/relay.h"
#include "proxy/timers.h"

struct dial;
struct lookup;
struct parting;
struct reading;
struct scoreboard_slot;

enum state { HEAD, RESOLVE, DIAL, TUNNEL, ANSWER, LINGER, DONE };

struct conn {
	TAILQ_ENTRY(conn) entry; /* in conns->open or ->done */
	TAILQ_ENTRY(conn) ready_entry;
	bool is_ready; /* in conns->ready */
	bool settled;  /* logged and counted */
	enum state state;
	struct conns *conns;
	struct source client, origin;
	struct timer timer;
	int64_t started_ms, active_ms; /* CLOCK_MONOTONIC */
	struct scoreboard_slot *slot;

	/* what was asked for, and how it went; for the log */
	struct host host;
	uint16_t port; /* 0: not known yet */
	const struct image_rule *rule;
	struct address dialled; /* family 0: none */
	bool was_tunnel;

	/* of one state each */
	struct reading *reading; /* HEAD */
	struct lookup *lookup;   /* RESOLVE */
	struct dial *dial;       /* DIAL */
	struct parting *parting; /* ANSWER, LINGER */
	struct relay relay;      /* TUNNEL */
};

void conn_set_deadline(struct conn *conn, enum timer_kind kind, uint32_t ms);
void conn_close_source(struct source *source);
void conn_free_reading(struct conn *conn);

/* Whatever ends a tunnel takes it off the list: its descriptors may soon be another's. */
void conn_leave_ready(struct conn *conn);
