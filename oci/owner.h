/* SPDX-License-Identifier: Apache-2.0 */
/* Files that only root may have written. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"

/*
 * Is a file or directory root's (or ours), and can nobody else write it? Whoever could might let a container out. what:
 * its name for messages. 0 or -EPERM.
 */
int owner_check(const struct stat *st, const char *what, struct error *err);

/*
 * Opens DIR/LEAF read-only: a regular file that passes owner_check(), with no symlink on the way and not out of DIR
 * (openat2(2), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). file: its name for messages. 0 and *ret_fd, or -errno.
 */
int owner_open(int dir, const char *leaf, const char *file, int *ret_fd, struct error *err);
