/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's descriptors, enum keeper_fd: which of them the hook has given. */
#pragma once

#include "base/error.h"
#include "proxy/keeper.h"

/*
 * Called once, before anything is opened: marks all O_CLOEXEC, and occupies the numbers that were left closed, so that
 * no other file can come to stand there. -EBADF: one that must be there is not.
 */
int inherited_take(struct error *err);

/* fd, or -1 where the hook has given none. */
int inherited_fd(enum keeper_fd fd);

/* Makes a copy of from stand at fd. -errno. */
int inherited_put(enum keeper_fd fd, int from);

/* Closes fd, and keeps its number occupied. */
void inherited_drop(enum keeper_fd fd);
