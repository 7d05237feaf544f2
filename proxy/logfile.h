/* SPDX-License-Identifier: Apache-2.0 */
/* A container's log, NAME.log in the log directory, and the one older file that is kept beside it, NAME.log.1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proxy/control.h"

struct logfile {
	int dir; /* the caller's */
	int fd;  /* O_APPEND */
	uint32_t max_bytes;
	char name[CONTROL_ID_MAX + sizeof(".log")];
};

/*
 * Opens the log of this id for appending, makes it where there is none and rotates one that is full. A symlink or
 * anything else that is not a regular file is an error.
 */
int logfile_open(struct logfile *log, int dir, const char *id, uint32_t max_bytes, struct error *err);

/*
 * Takes the next file where this one is full, within a line of it, and prunes the directory. 1: done, fd is a new one;
 * 0: there is room.
 */
int logfile_rotate(struct logfile *log, struct error *err);

/* Bytes in the file. */
uint32_t logfile_size(const struct logfile *log);

/* What all logs together may take, but for those that are being written: of each of these limits.log_bytes. */
#define LOGFILE_TOTAL_MAX (UINT64_C(1) << 30)

/*
 * Removes the oldest logs of the directory that no keeper has open, until all of them together take at most max_bytes.
 */
void logfile_prune(int dir, uint64_t max_bytes);

/* The same once in a while: for a start, which adds one that is empty. */
void logfile_prune_sometimes(int dir, uint64_t max_bytes);
