/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of connections: a pairing heap, which holds them itself. One that falls due later than the first, as nearly
 * all do, is started and stopped in constant time; others cost the logarithm of how many there are, so that neither
 * thousands of tunnels that look again when they last moved, nor a time-out that a reload has made shorter, stop the
 * loop. Milliseconds of CLOCK_MONOTONIC.
 */
#pragma once

#include <stdint.h>

enum timer_kind {
	TIMER_HEAD = 1, /* 0: not started */
	TIMER_RESOLVE,
	TIMER_ATTEMPT, /* the next address is dialled too */
	TIMER_CONNECT,
	TIMER_IDLE,
	TIMER_YOUNG, /* a tunnel that has lasted is worth keeping alive */
	TIMER_TOTAL,
	TIMER_LINGER,
	TIMER_KINDS
};

/* Embedded in what waits; all zero to begin with. */
struct timer {
	struct timer *child, *next;
	struct timer *back; /* the sibling before it; the parent, where it is the first child */
	int64_t key;        /* due_ms * TIMER_KEYS + kind; 0: not started */
};

struct timers {
	struct timer *first;
};

#define TIMER_KEYS 16 /* more than there are kinds */

static inline enum timer_kind timer_kind(const struct timer *timer)
{
	return (enum timer_kind)(timer->key % TIMER_KEYS);
}

void timers_init(struct timers *timers);

/* Starts timer, due_ms 0 or later; one that runs is stopped first. */
void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t due_ms);
void timers_stop(struct timers *timers, struct timer *timer);

/* A timer that is due, stopped, and of which kind it was; NULL: none is. */
struct timer *timers_take_due(struct timers *timers, int64_t now_ms, enum timer_kind *ret_kind);

/* When the next is due; INT64_MAX: none runs. */
int64_t timers_next(const struct timers *timers);
