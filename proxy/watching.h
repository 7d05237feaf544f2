/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories in which something may change that a keeper has read: it sleeps until then. What has changed is for
 * stamps to tell (base/stamp.h).
 *
 * By F_NOTIFY, fcntl(2), not inotify(7): of inotify instances root has 128 in all (fs.inotify.max_user_instances), and
 * there are more keepers than that on a busy machine. Where a file is replaced, written, renamed or deleted, its
 * directory says so; not where another file system is mounted over the very file.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define WATCHING_MAX 16

struct watched {
	char *path;
	int fd; /* -1: there is no such directory now */
	dev_t dev;
	ino_t ino;
};

struct watching {
	int signals; /* signalfd(2): readable when something has changed; -1: nothing is watched */
	size_t n;
	struct watched v[WATCHING_MAX];
};

#define WATCHING_INIT         \
	{                     \
		.signals = -1 \
	}

/* Before any directory. */
int watching_open(struct watching *watching, struct error *err);

/*
 * The directory of a file and those above it, levels in all (a directory that is itself replaced is its parent's
 * change), and, where the path has symbolic links, that of what it leads to, or the nearest one that is there of a file
 * that is not: to be asked again when that has changed. Each directory once.
 */
int watching_add(struct watching *watching, const char *file, int levels, struct error *err);

/* Takes what has been reported, and finds directories again that have been replaced. */
void watching_take(struct watching *watching);
