/* SPDX-License-Identifier: Apache-2.0 */
/* Is the container's namespace ours alone? */
#pragma once

#include "base/error.h"

/*
 * In the namespace that this thread is in now: no interface but lo and oe0 is up or has an address or a route (else
 * -EBUSY; idle ones, as the tunnels' fallback devices are, do not count), and there is no oe0, or it goes away within a
 * second (else -EEXIST): the kernel removes asynchronously what a listener kept. An error is the container's side's:
 * err->closed.
 */
int survey(struct error *err);

/* Waits until there is no oe0 in the namespace that this thread is in now, a second at most (else -EEXIST). */
int survey_await_gone(struct error *err);
