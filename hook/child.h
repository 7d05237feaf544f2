/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a command of ours starts and waits for: an engine's program, or a copy of ours that tries something.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define CHILD_TEXT_MAX 8192

/* A program with pipes for its stdio. What it writes beyond the buffers is read and thrown away. */
struct child {
	pid_t pid;
	int pidfd, in, out, err;
	int status; /* of waitpid(2), when it has ended */
	bool ended;
	size_t out_len, err_len;
	char out_text[CHILD_TEXT_MAX], err_text[CHILD_TEXT_MAX]; /* terminated */
};

/* Starts argv[0], looked for in PATH, with our environment. *ret is to be given to child_end(). -ENOENT: none there. */
int child_start(const char *const argv[], struct child *ret, struct error *err);

/*
 * Reads what it writes until that has until in it (NULL: to the end of the process). 1: it has ended; 0: until has
 * come; -ETIMEDOUT; -EINTR: we got a signal.
 */
int child_read(struct child *child, const char *until, int timeout_ms, struct error *err);

/* Closes its stdin, gives it that long to end, and kills it then. Its exit status, or 128 and more. */
int child_end(struct child *child, int timeout_ms);

/* Start to end with input on stdin. Its exit status, or -errno. */
int child_run(const char *const argv[], const char *input, int timeout_ms, struct child *ret, struct error *err);

/* fn(arg, err) in a copy of this process, which may change or lose what it likes. fn's result, or -errno. */
int child_try(int (*fn)(void *arg, struct error *err), void *arg, int timeout_ms, struct error *err);

/* The last line of what a program complained of, or "" */
const char *child_complaint(struct child *child);
