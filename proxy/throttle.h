/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes per second, of all connections of a worker together, each way for itself. A connection gets leave to take a
 * little; whoever would have taken more queues up, and the queue is served in its order as the bucket fills: so all get
 * the same, however many bytes each could move. Nothing of this costs anything where the policy has no such limit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/bucket.h"
#include "proxy/conn.h"
#include "proxy/relay.h"

/* What a connection may take in this turn. False: as much as it likes, and *ret is untouched. */
bool throttle_give(struct conn *conn, struct relay_leave *ret);

/* Charges what was taken of what was given; a connection that wanted more waits, and is run again. */
void throttle_settle(struct conn *conn, const struct relay_leave *given, const struct relay_leave *left);

/* It waits no more: for whatever ends what it moves. */
void throttle_forget(struct conn *conn);

/* Runs those that have waited long enough. */
void throttle_run(struct conns *conns);

/* When there is one; INT64_MAX: nobody waits. */
int64_t throttle_next_ms(struct conns *conns);
