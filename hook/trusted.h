/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that must be root's word: what a container, or a user of its image's, could have put there is not. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Reads NAME in the directory dir (AT_FDCWD and a path will do): a regular file and no symlink, owned by root or by us
 * and writable by nobody else, at most max bytes. path is its name in messages. *ret_text is to be freed. -ENOENT: not
 * there.
 */
int trusted_read(
	int dir, const char *name, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err);

/* Opens a directory of the same kind, following symlinks on the way there. *ret_fd (O_PATH) is the caller's. */
int trusted_open_dir(const char *path, int *ret_fd, struct error *err);

/* The same, where it may also be owned by "also". */
int trusted_open_dir_of(const char *path, uid_t also, int *ret_fd, struct error *err);
