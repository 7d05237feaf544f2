/* SPDX-License-Identifier: Apache-2.0 */
/* Which directories podman reads hooks from: containers.conf(5), `hooks_dir`, in its several places. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CONTAINERSCONF_DIRS_MAX 8

struct containersconf {
	size_t n;
	char dirs[CONTAINERSCONF_DIRS_MAX][PATH_MAX]; /* in their order: a file of the same name in a later one wins */
	bool set;                                     /* by a file; false: what podman reads by itself */
};

/* As podman would find it for whoever runs this; rootless it reads none by itself. */
void containersconf_read(struct containersconf *ret);

/* The part that reads one text: puts its hooks_dir, where it has one, over *conf. */
void containersconf_parse(const char *text, size_t len, struct containersconf *conf);
