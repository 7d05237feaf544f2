/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of connections. Those of one kind are nearly always started in the order in which they fall due, so each
 * kind is a list in that order, and starting and stopping cost the same however many there are. Milliseconds of
 * CLOCK_MONOTONIC.
 */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

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
	TAILQ_ENTRY(timer) entry;
	int64_t due_ms;
	enum timer_kind kind;
};

struct timers {
	TAILQ_HEAD(timer_list, timer) lists[TIMER_KINDS];
};

void timers_init(struct timers *timers);

/* Starts timer; one that runs is stopped first. */
void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t due_ms);
void timers_stop(struct timers *timers, struct timer *timer);

/* A timer that is due, stopped, and of which kind it was; NULL: none is. */
struct timer *timers_take_due(struct timers *timers, int64_t now_ms, enum timer_kind *ret_kind);

/* When the next is due; INT64_MAX: none runs. */
int64_t timers_next(const struct timers *timers);
