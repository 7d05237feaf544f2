/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of a container's start: plan -> link -> proxy -> arm, each with its undo. The keeper is started before the
 * link is made and the tracer before the proxy is ready, since starting is what takes their time.
 */
#pragma once

#include <stddef.h>

#include "hook/timings.h"
#include "oci/settings.h"

/* What a hook was told when config.json was edited, by whoever did that (hook/runtime_edit.h). */
struct create_order {
	const char *policy;   /* the container's, whatever its annotations say; NULL: theirs */
	const char *prepared; /* the filter is in config.json, and this bouquet (oci/prepare.h); NULL: neither */
};

/*
 * Guards the container whose state this is, or leaves it alone where no policy is meant for it. Says what went wrong to
 * people. Returns the exit status for the runtime: 0, or 1 where the container must not start.
 */
int create_run(const struct settings *settings, const char *keeper, const struct create_order *order, const char *state,
	size_t len, struct timings *timings);
