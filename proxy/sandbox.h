/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's isolation, in named stages; after the last it can do nothing but serve. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* RLIMIT_DATA: a hundred thousand tunnels have room in it; more is refused, not taken from the host. */
#define SANDBOX_MEMORY_MAX (UINT64_C(256) << 20)

struct sandbox {
	int root;     /* descriptor of an empty directory: fchdir(2), chroot(2) */
	uint32_t uid; /* and gid; WORKER_UID_BASE and the parent's pid, proxy/worker.h; no supplementary groups */
	uint32_t descriptors; /* RLIMIT_NOFILE */
	uint64_t file_size;   /* RLIMIT_FSIZE, bytes: bounds the log */
};

/*
 * Enters: root, uid, no capabilities in any set, no_new_privs, PDEATHSIG (set again: a change of credentials clears it,
 * prctl(2)) with a check that the parent is still there, not dumpable, rlimits, and last the system call allow-list.
 * Whatever needs a path or a privilege must have been opened before.
 */
int sandbox_enter(const struct sandbox *sandbox, struct error *err);
