/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run directory and what hooks hold in it while they work: the namespace's lock. proxy/keeper.h lists its files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "netns/link.h"

#define RUNDIR_KEY_SIZE 17 /* 16 hexadecimal digits and a NUL */

/*
 * Opens a directory of ours (made, where it is missing, with mode 0700, and its parents with 0755): no symlink, owned
 * by us, writable by nobody else, whatever was planted there before (-EPERM). *ret_fd is the caller's.
 */
int rundir_open(const char *path, int *ret_fd, struct error *err);

/* A namespace's key as text: its cookie (netns/netns.h) in hexadecimal. */
void rundir_key(uint64_t cookie, char ret[RUNDIR_KEY_SIZE]);

/*
 * Takes the directory's own lock, for a moment: whoever gives something a name that begins with a dot, a draft or what
 * is about to lose its name, holds it as long as there is that name. So under the lock such names are a dead hook's.
 * *ret_fd is the caller's; closing it lets go. wait: else -EAGAIN where somebody has it.
 */
int rundir_lock_drafts(int dir, bool wait, int *ret_fd, struct error *err);

/*
 * Takes the namespace's lock, waiting for whoever holds it. The lock's file goes with the keeper, so the one that is
 * locked must still be the one that has the name. *ret_fd is the caller's; closing it lets go.
 */
int rundir_lock(int dir, const char *key, int *ret_fd, struct error *err);

/*
 * The lock's text says what the namespace has, for as long as it has it: the link, and the keeper's pid. -ENOENT:
 * nothing is written down (a hook is at work, or died over it).
 */
struct rundir_link {
	enum link_kind kind;
	struct in_addr proxy, container;
	uint16_t port; /* host byte order */
	pid_t keeper;
};

int rundir_write_link(int lock, const struct rundir_link *link, struct error *err);
int rundir_read_link(int lock, struct rundir_link *ret, struct error *err);

/* Removes KEY.sock, or that and KEY.lock. The caller holds the lock, and there is no keeper. */
void rundir_remove_socket(int dir, const char *key);
void rundir_remove_key(int dir, const char *key);
