/* SPDX-License-Identifier: Apache-2.0 */
/* The external proxy: the policy's command, in a PID namespace of its own under init (proxy/init.h), on the loopback.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/image.h"
#include "proxy/handle.h"

struct external {
	struct handle handle;
	const struct image *image;
	uid_t uid;
	int life;        /* a pipe's writing end: closed when we end */
	bool listening;  /* seen to */
	int64_t end_ms;  /* of its time to come up */
	int64_t next_ms; /* when to look again */
	int backoff_ms;
};

#define EXTERNAL_INIT                                 \
	{                                             \
		.handle = { .pidfd = -1 }, .life = -1 \
	}

/* Chooses the port and starts the command. -EADDRINUSE: the policy's port is taken. The image stays the caller's. */
int external_start(struct external *external, const struct image *image, struct error *err);

/*
 * Looks, when next_ms has come, whether the command listens: 1: it does; 0: not yet, next_ms says when to look again;
 * -ETIMEDOUT: it never will.
 */
int external_look(struct external *external, struct error *err);

/* After its end: reaps it and says in err how it ended. Returns -EIO. */
int external_on_end(struct external *external, struct error *err);

/* TERM, then KILL. */
void external_stop(struct external *external);
