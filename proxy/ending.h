/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection ends: the log line, once; then at once, or in good order. The client's socket comes with SO_LINGER
 * {1, 0} from the listener, so whatever closes it in a hurry resets it, and a client that reads nothing cannot keep it
 * in the kernel.
 */
#pragma once

#include <stdbool.h>

#include "proxy/reason.h"

struct conn;

/* At once: both sides are reset. */
void ending_abort(struct conn *conn, enum reason reason);

/* The connection goes on, but one exchange on it is over: the log line of that. */
void ending_note(struct conn *conn, enum reason reason);

/* Of a tunnel both ends of which have sent their last byte, all of it passed on. */
void ending_complete(struct conn *conn);

/* In good order; with an answer where the reason has one and the client still waits for it. */
void ending_part(struct conn *conn, enum reason reason, bool answer, const char *problem);

/* Before it was a tunnel: with an answer where there can be one. */
void ending_refuse(struct conn *conn, enum reason reason, const char *problem);

/* Events and the deadline of ANSWER and LINGER. */
void ending_answer(struct conn *conn);
void ending_linger(struct conn *conn);
void ending_expired(struct conn *conn);
