/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An orderly restart of the worker, which no connection notices:
 *
 *     begin             another worker is started beside the present one, from the program that is given
 *     it is ready       it becomes the keeper's; the one before hears CHANNEL_RETIRE: it takes no connections any more
 *                       and ends when its last one has
 *     or it dies first  the present one goes on, as if nothing had been
 *
 * Nobody listens in between but one of the two, on the same socket: what is in its queue is taken by either. A retired
 * worker is still the keeper's: it is told of a new policy and of names, its log lines are kept, and its counts.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proxy/builtin.h"

#define RETIRING_MAX 4 /* workers that still have connections from before a restart */

struct keeper;

struct retiring {
	size_t n;
	struct builtin v[RETIRING_MAX];
	int program; /* of a restart that is under way; -1: none is. The last of v is the one that serves until then */
	int64_t end_ms;             /* of the time that the new worker has to be ready */
	struct control_status past; /* the counts of those that have ended */
};

/* Takes program over. -EBUSY: one is under way, or RETIRING_MAX have not ended; -EAGAIN: there is no worker now. */
int retiring_begin(struct keeper *keeper, int program, struct error *err);

/* The keeper's worker has become ready, or has ended. The latter: true where the one before goes on in its place. */
void retiring_on_ready(struct keeper *keeper);
bool retiring_on_worker_end(struct keeper *keeper);

/* Of v[i]: its channel is readable; it has ended. */
void retiring_on_channel(struct keeper *keeper, size_t i);
void retiring_on_end(struct keeper *keeper, size_t i);
void retiring_sweep(struct keeper *keeper);

/* Is there one that may still accept what is meant for its successor? */
bool retiring_listens(const struct keeper *keeper);

/* All of them get what their keeper's worker got, builtin_tell(), or are killed where they cannot be told. */
void retiring_tell(struct keeper *keeper, enum channel_type type, int fd, uint32_t size);
void retiring_follow(struct keeper *keeper);

/*
 * Opens the next log where the last is full, and hands it to all workers. full: the one that has said so; NULL: it was
 * the keeper that wrote to it.
 */
void retiring_rotate_log(struct keeper *keeper, const struct builtin *full);

void retiring_stop(struct keeper *keeper);
void retiring_advance(struct keeper *keeper);
int64_t retiring_next_ms(const struct keeper *keeper);
void retiring_status(const struct keeper *keeper, struct control_status *status);
