/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arming: puts the seccomp filter into the container's init now, and the bouquet into its program at execve(2). One
 * child process, the tracer (in the caller's memory: beside.h), does both: it seizes init's threads (ptrace(2),
 * PTRACE_O_EXITKILL: init dies with the tracer), puts the filter in, says so, waits for the exec as long as the
 * container is only created, rewrites the environment on the new stack, and ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/filter.h>

#include "base/error.h"
#include "oci/bouquet.h"

struct arm_request {
	pid_t pid;                       /* the container's init, as the hook sees it */
	int pidfd;                       /* the same: decides whether pid is still who it was */
	const struct sock_fprog *filter; /* oci/seccomp.h */
	const struct bouquet *bouquet;
	bool has_seccomp_profile; /* config.json has linux.seccomp: prctl in the program may be deadly */
};

struct arm {
	pid_t tracer; /* a child of the caller */
	int pipe;     /* the tracer's life line until commit; -1: there is no tracer, or it has been committed */
};

#define ARM_NONE ((struct arm){ .pipe = -1 })

/*
 * Starts the tracer with a copy of the request, but for the filter, which must stay until arm_start() has returned.
 * Init is not touched yet. 0 and *ret, or -errno.
 */
int arm_prepare(const struct arm_request *request, struct arm *ret, struct error *err);

/*
 * Returns when the filter is in: 0, or -errno with the tracer gone. timeout_ms is to seize and put the filter in.
 * err->closed from the seize on: init may have the filter, or is dead.
 */
int arm_start(struct arm *arm, int timeout_ms, struct error *err);

/* From now on the tracer waits for the exec without us. -errno (closed): the tracer is gone, and init. */
int arm_commit(struct arm *arm, struct error *err);

/* Ends the tracer, and with it init where it has been seized. Nothing where there is no tracer of ours. */
void arm_abort(struct arm *arm);
