/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of a container's start: plan -> link -> proxy -> arm, each with its undo. The keeper is started before the
 * link is made and the tracer before the proxy is ready, since starting is what takes their time.
 */
#pragma once

#include <stddef.h>

#include "hook/timings.h"
#include "oci/settings.h"

/*
 * Guards the container whose state this is, or leaves it alone where no policy is meant for it. Says what went wrong to
 * people. Returns the exit status for the runtime: 0, or 1 where the container must not start.
 */
int create_run(
	const struct settings *settings, const char *keeper, const char *state, size_t len, struct timings *timings);
