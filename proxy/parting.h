/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a connection with its client: a last answer, our end of file, and the wait until the client has it all. A
 * close(2) before that can lose the answer: it resets where the client still sends (RFC 9112 section 9.6), and always
 * with SO_LINGER {1, 0}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "proxy/http_answer.h"

#define PARTING_DRAIN_MAX (1u << 20) /* bytes that a client may still send before it is cut off */

struct parting {
	struct text answer; /* empty: there is none */
	size_t sent;
	size_t drained;
	bool ended; /* our half */
	int queued; /* when parting_moves() last looked */
	char buf[HTTP_ANSWER_MAX];
};

enum parting_result {
	PARTING_WAITS,
	PARTING_OVER,   /* the client has all and has ended: close_in_order() */
	PARTING_FAILED, /* the client's socket is dead */
};

void parting_init(struct parting *parting);

/* Sends the rest of the answer. PARTING_OVER: all is sent, and parting_linger() comes next. */
enum parting_result parting_send(struct parting *parting, int fd);

/*
 * Ends our half, throws away what the client still sends, up to a limit. The kernel reports an event when our FIN is
 * acknowledged, since the state of the connection changes then.
 */
enum parting_result parting_linger(struct parting *parting, int fd);

/* Bytes that we sent, and our end, that have not been acknowledged. Below 0: the socket is none any more. */
int parting_queued(int fd);

/* Whether the client has taken some since this was last asked, or it was never asked. */
bool parting_moves(struct parting *parting, int fd);
