/* SPDX-License-Identifier: Apache-2.0 */
/* A file of an engine's that is read, and put back changed: a bundle's config.json, the process of an exec. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"

struct document {
	int dir; /* where it lies */
	char name[NAME_MAX + 1];
	char path[PATH_MAX]; /* for messages */
	struct stat dir_stat, stat;
	char *text;
	size_t len;
	struct error strange; /* code 0, or why whoever wrote it may not be root: a symlink, an owner, a mode */
};

#define DOCUMENT_EMPTY ((struct document){ .dir = -1 })

/*
 * Reads the file, of at most max bytes, at path below base (NULL, or where path is absolute: it alone). That one is
 * strange is no failure: where it is nobody's concern it passes. *ret is to be released by document_clear().
 */
int document_open(const char *base, const char *path, size_t max, struct document *ret, struct error *err);
void document_clear(struct document *document);

/*
 * -EPERM: it is strange, or its directory neither root's, nor ours, nor also's. For files that nobody but root may have
 * a say in.
 */
int document_trust(const struct document *document, uid_t also, struct error *err);

/* Puts text into its place, as a whole or not at all, with the old one's owner and mode. */
int document_replace(const struct document *document, const char *text, size_t len, struct error *err);
