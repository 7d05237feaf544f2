/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces by descriptor: open, tell apart, act inside. network_namespaces(7), setns(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens /proc/PID/ns/net. *ret_fd belongs to the caller. The caller makes sure that PID is still who it was (pidfd). */
int netns_open(pid_t pid, int *ret_fd, struct error *err);

/* Is it the namespace that this process is in? 1, 0, or -errno. By st_dev and st_ino: both are open now. */
int netns_is_own(int netns, struct error *err);

/*
 * The namespace's key: SO_NETNS_COOKIE (socket(7), Linux 5.14), never used twice while the machine is up; inodes of
 * namespaces are, at once.
 */
int netns_cookie(int netns, uint64_t *ret, struct error *err);

/*
 * Runs fn(arg, err) inside netns, by this thread, which comes back, or, where it could not (root of a user namespace,
 * away from the host's network), by one of its own that ends there. Returns fn's result, or -errno where it could not
 * enter. A thread that cannot come back all the same is of no use to anyone: abort(3).
 */
int netns_call(int netns, int (*fn)(void *arg, struct error *err), void *arg, struct error *err);

/*
 * The same in a namespace that is made for it (unshare(2)). What fn opens there is all that keeps it: no process is in
 * it afterwards.
 */
int netns_call_fresh(int (*fn)(void *arg, struct error *err), void *arg, struct error *err);

/* A socket that belongs to netns. *ret_fd (O_CLOEXEC) is the caller's. */
int netns_socket(int netns, int domain, int type, int protocol, int *ret_fd, struct error *err);
