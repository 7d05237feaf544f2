/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of a keeper's namespace, each watched by a pidfd of its init. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proxy/control.h"

/* Which file a record was: its name is taken over by the next container of the same id, perhaps before a sweep. */
struct container_record {
	uint64_t inode; /* 0: there was none */
	int64_t mtime_ns;
};

struct container {
	char id[CONTROL_ID_MAX + 1];
	int pidfd;
	uint32_t owner; /* the control connection that joined it; 0 once committed */
	struct container_record record;
};

struct containers {
	int run; /* the directory of the records, the caller's */
	struct container *v;
	size_t n;
	size_t room;
};

/*
 * Adds one. Owns pidfd on success. -EEXIST (closed): one of this id is there and has not ended. -EINVAL: not a pidfd.
 * -ENOSPC: CONTROL_CONTAINERS_MAX. One whose init has ended already is added all the same: the next sweep finds it.
 */
int containers_add(struct containers *containers, const char *id, int pidfd, uint32_t owner, struct error *err);

/* The connection's containers live on without it. Returns how many: 0 where their inits have ended meanwhile. */
size_t containers_commit(struct containers *containers, uint32_t owner);

/* The connection's containers are forgotten; their records are the hook's business. */
void containers_take_back(struct containers *containers, uint32_t owner);

/* How many belong to somebody else than this connection. */
size_t containers_of_others(const struct containers *containers, uint32_t owner);

/*
 * Drops those whose init has ended and unlinks their records, ID.json, where these are still what they were at the
 * join or the commit.
 */
void containers_sweep(struct containers *containers);

/* Fills n entries for poll(2); readable: a sweep will find something. */
void containers_watch(const struct containers *containers, struct pollfd *pfds);
