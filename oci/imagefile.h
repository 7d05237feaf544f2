/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled policy as a file, one for all containers that use it: compiled once (policy_compile()), written once,
 * opened by each hook or keeper, and mapped by whoever gets the descriptor, keepers and workers, which share its pages.
 *
 * What keeps it true: it lies in a directory that only root can write, is root's itself, and a file that has its name
 * never changes. A new version is a new file that takes the name; who has the old one open or mapped keeps it.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct image;

/*
 * Writes an image to DIR/NAME, whole or not at all (".NAME.new", then renameat(2)). Two writers of one name are kept
 * apart by the caller, with a lock. 0 or -errno.
 */
int imagefile_write(int dir, const char *name, const struct image *image, struct error *err);

/*
 * Opens DIR/NAME read-only, for imagefile_map() and for handing on: regular, root's (or ours), writable by nobody else,
 * no symlink (owner_open()). file: its name for messages. 0 and *ret_fd (the caller's), -ENOENT: there is none, or
 * another -errno. Which version it is says image_fingerprint(), once it is mapped.
 */
int imagefile_open(int dir, const char *name, const char *file, int *ret_fd, struct error *err);

/*
 * Maps an image, read-only, its pages shared with all who map it, and makes image_check(): both read a few pages of it,
 * however large it is. fd is a sealed memfd (io_memfd()), or a file as imagefile_open() asks for. 0, *ret and *ret_len
 * (munmap(2) by the caller; fd may be closed), or -errno.
 */
int imagefile_map(int fd, const struct image **ret, size_t *ret_len, struct error *err);
