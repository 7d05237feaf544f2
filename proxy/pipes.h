/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes for splice(2). One belongs to a direction of a tunnel only while it holds bytes; a few empty ones are kept for
 * the next that needs one. There are never more than PIPES_MAX, so that their descriptors can be reckoned with.
 */
#pragma once

#include <stdbool.h>

#define PIPES_MAX 128
#define PIPES_SPARE_MAX 32
#define PIPES_BYTES (1u << 20) /* asked for; beyond the user's share, pipe(7), the kernel gives less */

struct pipe_pair {
	int read_fd; /* -1: none */
	int write_fd;
};

struct pipes {
	unsigned n; /* spare */
	unsigned n_open;
	struct pipe_pair spare[PIPES_SPARE_MAX];
};

/* False: no descriptors or memory, or PIPES_MAX are out. */
bool pipes_take(struct pipes *pipes, struct pipe_pair *ret);

/* *pipe is none afterwards. One that still holds bytes is closed. */
void pipes_give(struct pipes *pipes, struct pipe_pair *pipe, bool empty);

/* Those that are spare. */
void pipes_close(struct pipes *pipes);
