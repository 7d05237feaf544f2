/* SPDX-License-Identifier: Apache-2.0 */
/* A veth between a transit of its own and the container's namespace. Behind netns/link.h. */
#pragma once

#include "base/error.h"

struct link_config;

/*
 * Makes it; both ends are operationally up when it returns. *ret_listener is the caller's, and all that keeps transit
 * and veth alive. On failure nothing of it is left. err->closed: the container's side may be the cause.
 */
int veth_make(int netns, const struct link_config *config, int *ret_listener, struct error *err);

/* Takes a veth away by its transit, which listener leads to; it is gone when this returns 0. */
int veth_remove(int listener, struct error *err);

/* For one that cannot be taken away but has lost its listener: waits until oe0 is gone, a second at most. */
int veth_await_gone(int netns, struct error *err);
