/* SPDX-License-Identifier: Apache-2.0 */
/* Telling one process from the next that gets its number: pidfds, and start times for what is written down. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* pidfd_open(2). -ESRCH: there is no such process. *ret_pidfd (O_CLOEXEC) is the caller's. */
int process_open(pid_t pid, int *ret_pidfd, struct error *err);

/* Has the process behind pidfd not ended yet? */
bool process_alive(int pidfd);

/* Waits until it has ended, at most timeout_ms. Has it? */
bool process_wait(int pidfd, int timeout_ms);

/* Start time in clock ticks since boot, proc(5) /proc/PID/stat field 22; with the pid it names a process for good. */
int process_start_time(pid_t pid, uint64_t *ret, struct error *err);

/*
 * Is there still a process of this number with this start time, and not as a zombie? One whose first thread has ended
 * is none as long as another of its threads runs, whatever /proc/PID/stat calls it.
 */
bool process_same(pid_t pid, uint64_t start_time);
