/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which version of a file it is, as text: told by its place, size and times, without reading it. Two versions have two
 * stamps, whether the file was replaced or written over, unless both are of one tick of the file system's clock.
 */
#pragma once

#include <sys/stat.h>

#define STAMP_SIZE 96 /* with the NUL */
#define STAMP_NONE "-" /* of a file that is not there */

/* How old a version must be before its stamp can be relied on: longer than a tick of any kernel. */
#define STAMP_SETTLED_MS 20

/* Letters, digits and '-': a part of a file's name. */
void stamp_make(const struct stat *st, char ret[STAMP_SIZE]);

/* Of what path leads to, symbolic links followed; STAMP_NONE where that is nothing. */
void stamp_path(const char *path, char ret[STAMP_SIZE]);
