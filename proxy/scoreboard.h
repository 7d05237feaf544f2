/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory of one keeper and its worker (a memfd): counters, and the connections that are open now. The worker
 * writes; the keeper reads, and writes the log lines of connections whose worker died, so that whoever crashes the
 * worker does not erase the record. To the keeper every byte is hostile: it copies a slot, then bounds each field.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/host.h"
#include "proxy/reason.h"

#define SCOREBOARD_VERSION 3u

struct scoreboard_counters {
	_Atomic uint64_t accepted; /* connections, the hook's probes not counted */
	_Atomic uint64_t allowed;  /* became tunnels, and with the right name in them */
	_Atomic uint64_t denied;   /* by the policy */
	_Atomic uint64_t failed;   /* all others that have ended */
	_Atomic uint64_t bytes_up; /* client to origin, of tunnels that have ended */
	_Atomic uint64_t bytes_down;
	_Atomic uint64_t lines_lost; /* log lines that could not be written */
	/* How often each came up: ends of connections, and pauses for the sake of a limit. */
	_Atomic uint64_t reasons[REASON_COUNT];
	_Atomic uint32_t open; /* connections now */
};

/*
 * Of a host's name, in the slot. Nearly all names fit; what is beyond lies behind the slots, where a page that nobody
 * writes to costs nothing.
 */
#define SCOREBOARD_NEAR_MAX 41
#define SCOREBOARD_FAR_MAX (HOST_NAME_MAX_LEN - SCOREBOARD_NEAR_MAX)

/* What the log and the counters still lack of a connection. */
enum scoreboard_use {
	SCOREBOARD_FREE,    /* no connection */
	SCOREBOARD_OPEN,    /* a line, and a verdict to count */
	SCOREBOARD_COUNTED, /* a line, of a tunnel that was counted as allowed when it was opened */
	SCOREBOARD_BETWEEN, /* nothing: it is kept for another request */
};

/* What the log line of a connection says, kept current while it is open. */
struct scoreboard_slot {
	_Atomic uint32_t used; /* enum scoreboard_use */
	uint16_t port;         /* asked for; 0: not known yet */
	uint16_t dialled_port;
	int64_t started_ms; /* CLOCK_REALTIME */
	uint64_t bytes_up;  /* of a tunnel, updated now and then */
	uint64_t bytes_down;
	uint32_t rule_line; /* of the policy file; 0: none */
	uint8_t host_len;
	char host[SCOREBOARD_NEAR_MAX]; /* its beginning */
	struct address dialled;         /* family 0: none */
};

struct scoreboard {
	uint32_t version;
	uint32_t n_slots; /* limits.connections of the image that it was made for, for life */
	struct scoreboard_counters counters;
	struct scoreboard_slot slots[]; /* and then char[n_slots][SCOREBOARD_FAR_MAX] */
};

static inline void scoreboard_count(struct scoreboard *board, enum reason reason)
{
	atomic_fetch_add_explicit(&board->counters.reasons[reason], 1, memory_order_relaxed);
}

/* Makes an empty one of n_slots in a memfd of fixed size. *ret_fd is the caller's; *ret is mapped for good. */
int scoreboard_create(uint32_t n_slots, int *ret_fd, struct scoreboard **ret, struct error *err);

void scoreboard_free(struct scoreboard *board, uint32_t n_slots);

/* Its head as it was made, whatever a worker has written there: for the next one. */
void scoreboard_reset(struct scoreboard *board, uint32_t n_slots);

/* Maps one that scoreboard_create() has made, for good, with as many slots as it has; -EINVAL where it is none. */
int scoreboard_map(int fd, struct scoreboard **ret, struct error *err);

/*
 * An emptied slot, marked used; NULL where all are taken. The lowest is taken, so that memory grows with the most
 * connections there ever were; *first, 0 to begin with, is the worker's note of where to look.
 */
struct scoreboard_slot *scoreboard_take(struct scoreboard *board, uint32_t *first);
/* The name that was asked for, len at most HOST_NAME_MAX_LEN. */
void scoreboard_set_host(struct scoreboard *board, struct scoreboard_slot *slot, const char *name, size_t len);

/* No slot: nothing. */
static inline void scoreboard_mark(struct scoreboard_slot *slot, enum scoreboard_use use)
{
	if (slot)
		atomic_store_explicit(&slot->used, use, memory_order_release);
}

/* The name of slot i, of which slot is a copy. Returns its length, which is within bounds whatever that says. */
size_t scoreboard_copy_host(const struct scoreboard *board, uint32_t n_slots, uint32_t i,
	const struct scoreboard_slot *slot, char ret[HOST_NAME_MAX_LEN + 1]);

void scoreboard_release(struct scoreboard *board, struct scoreboard_slot *slot, uint32_t *first);
