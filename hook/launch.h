/* SPDX-License-Identifier: Apache-2.0 */
/* The third step: a keeper for the namespace, one that is there or a new one, and the proof that its proxy can be
 * reached. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "hook/plan.h"
#include "netns/link.h"

/* Where a keeper's things are. Descriptors are borrowed. */
struct launch_place {
	int run;            /* the run directory */
	const char *log;    /* the log directory */
	const char *state;  /* external proxies' homes lie below it */
	const char *keeper; /* the keeper's executable */
	enum image_on_failure on_failure; /* for policies that do not say */
};

struct launch {
	int control;  /* our connection to the keeper: until commit the container's life line there */
	pid_t keeper; /* a child of ours; 0 where it is somebody else's */
};

#define LAUNCH_EMPTY ((struct launch){ .control = -1 })

/* Connects to the namespace's keeper. 0, or -ENOENT: there is none. -EEXIST (closed): there was one, and it is gone. */
int launch_find(const struct launch_place *place, const struct plan *plan, struct launch *ret, struct error *err);

/* Starts a keeper. Returns while it is still coming up. */
int launch_start(const struct launch_place *place, const struct plan *plan, struct launch *ret, struct error *err);

/* Gives the keeper that we have started a copy of the link's listener. */
int launch_listen(const struct launch *launch, const struct link *link, struct error *err);

/* Joins the container to the keeper and proves the path: connects from inside its namespace, and the worker says so. */
int launch_prove(struct launch *launch, const struct plan *plan, const struct link *link, struct error *err);

/* From now on the keeper lives as long as the container. */
int launch_commit(struct launch *launch, struct error *err);

/* Takes back what is not committed: a keeper of ours ends, with all that it started; another's drops our container. */
void launch_undo(struct launch *launch);

/* Lets go of everything; a keeper lives on or ends as it must. */
void launch_clear(struct launch *launch);
