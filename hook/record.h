/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a container, RUN/ID.json: who it is and how it stands. Reserved before anything is made; removed by the
 * keeper when its init has ended, by poststop, or by whoever sweeps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "hook/rundir.h"
#include "netns/link.h"
#include "oci/naming.h"
#include "oci/policy.h"
#include "oci/state.h"

enum record_state {
	RECORD_STARTING = 1, /* a hook is at work on it, or died over it */
	RECORD_GUARDED,
	RECORD_OPEN, /* could not be guarded and runs all the same: on_failure is "open" */
};

#define RECORD_NAME_SIZE (STATE_ID_MAX + 8)

struct record {
	char id[STATE_ID_MAX + 1];
	char policy[POLICY_NAME_MAX + 1];
	char fingerprint[17];      /* image_fingerprint(), 16 hexadecimal digits: the policy's version */
	char key[RUNDIR_KEY_SIZE]; /* of its network namespace */
	enum record_state state;
	pid_t pid; /* of init, with start_time */
	uint64_t start_time;
	int64_t since; /* seconds since the epoch */
	enum link_kind link;
	bool gated; /* its network namespace was given a gate when it came in, or had one */
	struct in_addr proxy; /* s_addr 0: no link yet */
	uint16_t port;
	char log[STATE_ID_MAX + 1]; /* whose name the log has: of who was first in the namespace; empty: its own */
	struct naming names;
	char reason[ERROR_MESSAGE_MAX]; /* of RECORD_OPEN */
};

/*
 * Reserves the container's record. 0; 1 where there is one already for this very init, in *record (the hook was called
 * before); -EEXIST where another container of that id is alive. One of a dead container is replaced.
 */
int record_reserve(int dir, struct record *record, struct error *err);

/* Writes what has changed, as a whole or not at all. */
int record_write(int dir, const struct record *record, struct error *err);

/* -ENOENT: there is none. -EINVAL: it cannot be read. */
int record_read(int dir, const char *id, struct record *ret, struct error *err);

void record_remove(int dir, const char *id);

/* Is the container's init, as the record has it, still there? */
bool record_alive(const struct record *record);

/*
 * Calls fn for each record; what is none is passed over. Stops where fn returns nonzero, and returns that. -errno where
 * the directory or a record cannot be read: there may be more than fn was told of.
 */
int record_each(int dir, int (*fn)(const struct record *record, void *arg), void *arg, struct error *err);

const char *record_state_name(enum record_state state);
const char *record_link_name(enum link_kind kind);
