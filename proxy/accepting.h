/* SPDX-License-Identifier: Apache-2.0 */
/* Which connections a worker takes from its listener, and when: its limits, and the hook's probe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "proxy/bucket.h"
#include "proxy/conn.h"
#include "proxy/reason.h"

struct accepting {
	struct conns *conns;
	struct source listener; /* fd -1: it has not come */
	int channel;            /* where a probe's arrival is told; -1: nowhere */
	uint32_t max;           /* connections */
	bool inherits;          /* what is accepted has the listener's options: it came after they were set */
	unsigned burst;         /* to be taken in a turn */
	bool paused;
	bool closed;        /* the listener listens no more, and never will: somebody has destroyed it, ss(8) -K */
	int64_t resume_ms;  /* INT64_MAX: when one of ours has ended */
	struct bucket rate; /* connections per second */
	int64_t said_ms[REASON_COUNT]; /* when a limit was last logged; 0: never */
	uint16_t probe_port;           /* of a connection that is the hook's; 0: none is awaited */
};

/* Takes connections from now on. listener is non-blocking, and stays the caller's. */
int accepting_start(struct accepting *accepting, int listener, struct error *err);

/* Takes none any more: what waits in the listener's queue is for others who have it. */
void accepting_stop(struct accepting *accepting);

/* What epoll_wait(2) has reported of the listener. */
void accepting_event(struct accepting *accepting, uint32_t events);

/*
 * A connection from this source port is the hook's; 0: none is. So that it is not stuck behind others while it is
 * awaited, those beyond the limit are taken and closed, and those that come too fast are taken.
 */
void accepting_expect(struct accepting *accepting, uint16_t probe_port);

/* Once per turn: goes on where a pause is over. */
void accepting_resume(struct accepting *accepting);

/* When a pause ends of itself; INT64_MAX: there is none that does. */
int64_t accepting_next_ms(const struct accepting *accepting);
