/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files below a directory that is taken for "/", as openat2(2) has it with RESOLVE_IN_ROOT: no path and no symbolic
 * link leads out of it. They are replaced atomically, and where a link leads: the link stays.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define ROOTED_SIZE_MAX (1u << 20)

/* As openat2(2). Returns -1 and errno. */
int rooted_open(int root, const char *path, int flags);

/*
 * Reads a regular file of at most max bytes. *ret_text (to be freed) is NULL where there is none; one NUL more than
 * *ret_len.
 */
int rooted_read(int root, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err);

/*
 * Puts text in a file's place, by rename(2) of one beside it, with the owner, mode and extended attributes of the one
 * that is there, else with mode. Its directory must be there.
 */
int rooted_write(int root, const char *path, const char *text, size_t len, mode_t mode, struct error *err);

/* Removes a file where links lead, or (follow false) the link itself. It is no error that there is none. */
int rooted_remove(int root, const char *path, bool follow, struct error *err);

/* What a link says (to be freed), NULL where there is no file. -EEXIST: it is something else. */
int rooted_read_link(int root, const char *path, char **ret_target, struct error *err);

/* Makes a link that says target, or replaces one. */
int rooted_link(int root, const char *path, const char *target, struct error *err);

/* Is there a directory of that path which belongs to whoever runs this? */
bool rooted_is_ours(int root, const char *path);

/* Is there a program of that path? */
bool rooted_is_program(int root, const char *path);

/*
 * Makes the directories that path needs, path itself not. *ret_made, to be freed: the first that was missing, NULL
 * where none was.
 */
int rooted_make_parents(int root, const char *path, mode_t mode, char **ret_made, struct error *err);

/* Removes the directories from above path to made, as long as they are empty. */
void rooted_remove_parents(int root, const char *path, const char *made);

/*
 * The names of a directory's files that end with suffix, sorted: how many, or -errno. *ret: rooted_free_list(). A
 * directory that is missing has none.
 */
int rooted_list(int root, const char *path, const char *suffix, char ***ret, struct error *err);
void rooted_free_list(char **names, int n);
