/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a container's network namespace needs a gate, may have one, and has it. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "hook/plan.h"
#include "netns/foreign.h"

struct gating {
	struct foreign foreign; /* ways out that are there */
	bool wanted;
	bool made; /* there was none before */
};

/*
 * Looks at the namespace (link_check(), or, where its link is there already, link_check_shared()) and at who could undo
 * a gate in it. Nothing is touched. Every error is closed.
 */
int gating_check(const struct plan *plan, bool shared, struct gating *ret, struct error *err);

/* Raises the gate where one is wanted, or brings the one that is there up to date. Every error is closed. */
int gating_raise(const struct plan *plan, struct gating *gating, struct error *err);

/* Takes it away again where it was not there before. */
void gating_undo(const struct plan *plan, struct gating *gating);
