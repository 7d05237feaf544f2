/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program of ours with nothing inherited but what is listed. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* The first descriptor that a spawned program finds its own at; 0, 1 and 2 are /dev/null. */
#define SPAWN_FD_FIRST 3
#define SPAWN_FDS_MAX 16

/*
 * Starts the program behind exe (an O_PATH or readable descriptor; execveat(2)) with argv and an empty environment, in
 * a session of its own, cwd "/". fds[i] becomes descriptor SPAWN_FD_FIRST + i; -1 leaves that number closed. All else
 * is reset to what a process is born with: signal mask and dispositions, umask 077, oom_score_adj 0, CPU affinity, nice
 * 0, scheduling policy, personality, soft limits, no further groups; RLIMIT_CORE 0. Hard limits stay.
 *
 * Returns when the execveat(2) has succeeded, with *ret_pid (a child, to be waited for) and, unless NULL, *ret_pidfd
 * (O_CLOEXEC, the caller's); or -errno, with nothing left behind.
 */
int spawn(int exe, const char *const argv[], const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err);

/* The same, as process 1 of a PID namespace of its own, with which all ends that it starts: pid_namespaces(7). */
int spawn_init(int exe, const char *const argv[], const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err);

/*
 * The same with stdio[] as its descriptors 0, 1 and 2 (-1: /dev/null), and no other: for programs that are not ours.
 */
int spawn_stdio(
	int exe, const char *const argv[], const int stdio[3], pid_t *ret_pid, int *ret_pidfd, struct error *err);

/*
 * The same without a program: the child is a copy of the caller (one thread, fork(2)), which holds the descriptors
 * listed and no other, is reset as above but for the environment, runs run(arg) and ends with what that returns. One
 * that cannot be made ready ends with status 127. What the caller's memory holds, the child's holds as well, and lies
 * at the same addresses: not for what must not know its parent's secrets.
 */
int spawn_copy(int (*run)(void *arg), void *arg, const int *fds, size_t n_fds, pid_t *ret_pid, int *ret_pidfd,
	struct error *err);

/* The resetting part alone, for entry points that were started by strangers: what spawn() does but for fds and session.
 */
void spawn_reset_inherited(void);
