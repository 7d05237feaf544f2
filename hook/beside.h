/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process beside ours, in our memory: as fork(2), without the copying of an address space, which takes longer than
 * what the child is for. It has a stack and thread-local storage (errno) of its own, our descriptors as they are now in
 * a table of its own, and goes on when we have ended.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/*
 * run(arg) is the child's whole life; it must not return, nor exit(3), and has 128 KiB of stack. arg is of malloc(3),
 * and beside's from the call on. Until we have ended, the child must not do what is the process's and not the thread's:
 * stdio, syslog(3), malloc(3) (one that is killed there leaves a lock behind). *ret is a child of ours, to be waited
 * for.
 */
int beside_start(void (*run)(void *arg), void *arg, pid_t *ret, struct error *err);
