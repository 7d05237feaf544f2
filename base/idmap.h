/* SPDX-License-Identifier: Apache-2.0 */
/* Which ids a user namespace has, and who they are outside: /proc/PID/uid_map and gid_map, user_namespaces(7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IDMAP_RANGES_MAX 340 /* the kernel's limit, user_namespaces(7) */

struct idmap_range {
	uint32_t inner, outer, count;
};

struct idmap {
	size_t n;
	struct idmap_range ranges[IDMAP_RANGES_MAX];
};

/* Reads a map as /proc has it: outer ids are those of the reader's own namespace, or of the parent of that. */
int idmap_read(const char *path, struct idmap *ret, struct error *err);

/* The same from its text. -EINVAL: it is none. */
int idmap_parse(const char *text, struct idmap *ret, struct error *err);

/* Who is inner outside? False where there is no such id in the namespace. */
bool idmap_outer(const struct idmap *map, uint32_t inner, uint32_t *ret);

/* The highest id that both have, for whom a user and a group of one number are wanted. False: there is none. */
bool idmap_highest(const struct idmap *a, const struct idmap *b, uint32_t *ret);
