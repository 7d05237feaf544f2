/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tunnel between two connected TCP sockets, half-close in both directions. Both sockets are non-blocking, have
 * SO_OOBINLINE (urgent data, tcp(7), is then a byte like any other) and are registered with epoll for EPOLLIN |
 * EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET by the caller, who keeps them: the relay never closes one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/pipes.h"

/* The ends, and the directions, each named after the end it comes from. */
enum relay_end { RELAY_CLIENT, RELAY_ORIGIN, RELAY_ENDS };

enum relay_status {
	RELAY_WAITS,   /* for an event of either end */
	RELAY_GOES_ON, /* has used up its turn: run it again when others have had theirs */
	RELAY_ENDED,   /* both ends have sent their last byte, and it was passed on */
	RELAY_RESET,   /* an end was reset; relay->reset says which. What could still be passed on was */
};

struct relay_socket {
	int fd;
	/* What the kernel last said; only EAGAIN, a short read or the end of file takes it back. */
	bool readable;
	bool writable;
	bool urgent; /* there may be urgent data in the way */
	bool ending; /* its end may be behind what there is to read */
};

struct relay_flow {
	struct pipe_pair pipe;       /* only while held > 0 */
	struct relay_parked *parked; /* in its place where the bytes were copied */
	uint32_t held;               /* bytes in the pipe, or parked */
	bool bulk;                   /* goes through pipes */
	uint8_t small;               /* pieces in a row that were, while it is bulk */
	bool shut;                   /* nothing is taken from the source, for as long as the caller sees fit */
	bool ended;                  /* end of file was read and passed on, or there is nobody to pass anything on to */
	uint64_t bytes;              /* passed on */
};

struct relay {
	struct relay_socket sockets[RELAY_ENDS];
	struct relay_flow flows[RELAY_ENDS];
	enum relay_end reset; /* where was_reset */
	bool was_reset;
};

/* What each direction may take from its source in a run, and whether it would have taken more. */
struct relay_leave {
	uint32_t bytes[RELAY_ENDS]; /* less what was taken */
	bool wanted[RELAY_ENDS];
};

void relay_init(struct relay *relay, int client, int origin);

/* Nothing has come from this end that was not read before the tunnel; events will tell of all that does. */
void relay_expect(struct relay *relay, enum relay_end end);

/*
 * Before anything else: bytes of the caller's own to an end, in front of all that comes from the other. What its socket
 * does not take now waits for room, and none of it is counted. False: the socket is dead, or there is no memory.
 */
bool relay_say(struct relay *relay, enum relay_end to, const char *bytes, size_t len);

/* Notes what epoll_wait(2) has reported of an end; relay_run() then makes use of it. */
void relay_note(struct relay *relay, enum relay_end end, uint32_t events);

/* Is either direction so busy that a turn of its own takes long? */
bool relay_is_bulk(const struct relay *relay);

/* Moves what can be moved, up to a turn's worth, and as leave permits: NULL is all. */
enum relay_status relay_run(struct relay *relay, struct pipes *pipes, struct relay_leave *leave);

/* Gives the pipes back. */
void relay_finish(struct relay *relay, struct pipes *pipes);
