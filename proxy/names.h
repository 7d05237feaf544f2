/* SPDX-License-Identifier: Apache-2.0 */
/* The host's resolv.conf and hosts file, which keepers copy for their workers. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/stamp.h"
#include "proxy/channel.h"
#include "proxy/keeper.h"

struct names_file {
	const char *path;
	enum keeper_fd fd; /* where the copy is */
	enum channel_type type;
	size_t max;
	char stamp[STAMP_SIZE]; /* of the version that was looked at last; empty: none was */
};

/*
 * Looks whether the file is another than when it was last looked at, and says something else. 1: it does, and a copy
 * is at fd (none: inherited_fd() is -1), of *ret_len bytes; 0: it does not; -errno: it cannot be read or is too large,
 * and the copy is the one before.
 */
int names_look(struct names_file *file, size_t *ret_len, struct error *err);
