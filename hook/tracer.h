/* SPDX-License-Identifier: Apache-2.0 */
/* The tracer's process, and what it and the hook say to each other over a SOCK_SEQPACKET pair. */
#pragma once

#include "base/error.h"
#include "hook/arm.h"

enum tracer_says {
	TRACER_SEIZES,    /* from now on init dies with the tracer */
	TRACER_ARMED,     /* the filter is in */
	TRACER_FAILED,    /* error says why; the tracer has ended, or is about to */
	TRACER_COMMITTED, /* the answer to HOOK_COMMITS: it waits for the exec alone */
};

enum hook_says {
	HOOK_GO, /* seize init */
	HOOK_COMMITS,
};

struct tracer_message {
	enum tracer_says says;
	struct error error;
};

/* The whole life of a child beside the hook (beside.h). Keeps sock and the request's pidfd of all descriptors. */
_Noreturn void tracer_run(const struct arm_request *request, int sock, pid_t hook);
