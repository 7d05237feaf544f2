/* SPDX-License-Identifier: Apache-2.0 */
/* A request head on its way in, read so that no byte behind it leaves the client's socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/http_head.h"

struct reading {
	struct http_head head;
	char *buf; /* the head's bytes so far */
	size_t len, size;
	bool more; /* READING_DONE: there may be bytes behind the head */
};

enum reading_result {
	READING_WAITS,  /* for more bytes */
	READING_DONE,   /* the head is complete */
	READING_SOCKS,  /* none: the client speaks SOCKS5, and nothing was taken */
	READING_BAD,    /* head.reason and head.problem say why */
	READING_ENDED,  /* the client's end of file */
	READING_FAILED, /* the client's socket is dead */
	READING_NO_MEMORY,
};

/* NULL: there is no memory for it. */
struct reading *reading_new(void);

/* Takes what there is of a head of at most max bytes. */
enum reading_result reading_run(struct reading *reading, int fd, size_t max);

void reading_free(struct reading *reading);
