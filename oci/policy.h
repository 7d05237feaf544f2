/* SPDX-License-Identifier: Apache-2.0 */
/* The policy: one JSON file (comments allowed) per name, compiled to an image. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/image.h"

#define POLICY_NAME_MAX 64
#define POLICY_SIZE_MAX (64u << 20)

/* [A-Za-z0-9][A-Za-z0-9_.+-]*, no "..", at most POLICY_NAME_MAX bytes: never a path. */
bool policy_name_valid(const char *name);

/*
 * Reads DIR/NAME.json as root's property: regular, owned by root (or by us), writable by nobody else, no symlink on the
 * way out of DIR (openat2(2), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). -ENOENT: there is no such file. *ret_text is to
 * be freed; *ret_file, of PATH_MAX bytes, is its path for messages.
 */
int policy_read(const char *dir, const char *name, char **ret_text, size_t *ret_len, char *ret_file, struct error *err);

/*
 * The two halves of policy_read(), for whoever has to know which version of the file it is: *ret_fd is the caller's.
 */
int policy_open(const char *dir, const char *name, int *ret_fd, char *ret_file, struct error *err);
int policy_read_open(int fd, const char *file, char **ret_text, size_t *ret_len, struct error *err);

/* Reads any file as a policy, for commands that people run as themselves: no owner asked for. "-" is not special. */
int policy_read_file(const char *file, char **ret_text, size_t *ret_len, struct error *err);

/*
 * Compiles a policy. Returns 0 and *ret (to be freed; (*ret)->size bytes), or -EINVAL with
 * "FILE:LINE:COLUMN: key: what is wrong, what was expected" (for a misspelt key: the key that was probably meant).
 * on_failure holds where the policy has none.
 */
int policy_compile(const char *file, const char *name, const char *text, size_t len, enum image_on_failure on_failure,
	struct image **ret, struct error *err);
