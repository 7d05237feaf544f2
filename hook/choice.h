/* SPDX-License-Identifier: Apache-2.0 */
/* Which policy a container gets, and whether it is one that can be guarded at all. */
#pragma once

#include "base/error.h"
#include "hook/plan.h"
#include "oci/config.h"
#include "oci/settings.h"

/* The plan is for the policy of that name, if it is a name at all (-EINVAL). from: who names it, for messages. */
int choice_take(
	const struct settings *settings, const char *from, const char *name, struct plan *plan, struct error *err);

/* The same of what an annotation names. -EPERM where the host does not let annotations choose. */
int choice_take_annotation(const struct settings *settings, const char *name, struct plan *plan, struct error *err);

/*
 * Compiles the plan's policy, or takes its image; where it has none, that of the file "default", if there is one: else
 * plan->image stays NULL, and the container is none of our business.
 */
int choice_compile(const struct settings *settings, struct plan *plan, struct error *err);

/* -EPERM, -EXDEV: what stands in this config.json takes the guard away, or leaves nothing to guard. */
int choice_check(const struct config *config, const char *bundle, struct error *err);
