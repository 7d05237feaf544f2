/* SPDX-License-Identifier: Apache-2.0 */
/* Files that only root may have written. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

/*
 * Is this uid, as stat(2) shows it, that of somebody whose word we take: root, or ourselves? For root of a user
 * namespace in the host's file system the host's root has no number of his own; he shows as the owner of "/", and so does any stranger: what is asked about must lie where
 * strangers cannot put things.
 */
bool owner_trusted(uid_t uid);

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
