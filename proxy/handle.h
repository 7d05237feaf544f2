/* SPDX-License-Identifier: Apache-2.0 */
/* What a start of either proxy returns, builtin or external: where it listens, how to stop it, how to know its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"

struct handle {
	struct address address; /* where it listens */
	uint16_t port;
	pid_t pid;                /* a child of ours; 0: none */
	int pidfd;                /* readable: it has ended, handle_reap() says how; -1: none */
	int stop_signal;          /* asks it to stop */
	uint32_t stop_timeout_ms; /* until it is killed */
};

#define HANDLE_NONE ((struct handle){ .pidfd = -1 })

/* Has it ended? False also where there is none. */
bool handle_ended(const struct handle *handle);

/*
 * Waits for the end of a proxy that has ended or is bound to, and empties the handle. Returns its status as waitpid(2)
 * gives it.
 */
int handle_reap(struct handle *handle);

/* Asks, waits, kills, reaps; at once for one whose stop_signal is SIGKILL. Nothing where there is none. */
void handle_stop(struct handle *handle);
