/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values on the caller's stack: a function returns 0 or -errno and says in words what happened. Nothing here
 * allocates, prints or needs freeing; only entry points print (base/log.h).
 */
#pragma once

#include <stdbool.h>

#define ERROR_MESSAGE_MAX 768

struct error {
	int code;    /* -errno */
	bool closed; /* the container must not start, whatever on_failure says */
	char msg[ERROR_MESSAGE_MAX];
};

/* Sets err to "MESSAGE: strerror(errnum)". Returns -errnum. err may be NULL. Clears closed. */
int error_set(struct error *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As error_set(), where the message says all there is to say: no strerror() behind it. */
int error_say(struct error *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " in front of the message. Returns err's code (-EINVAL where err is NULL). */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Marks err as one that must stop the container even with on_failure "open". Returns err's code. */
int error_close(struct error *err);
