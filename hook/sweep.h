/* SPDX-License-Identifier: Apache-2.0 */
/* What only a SIGKILL or a lost poststop leaves behind: files. The next hook, poststop and `status` clear them away. */
#pragma once

/*
 * Removes the records of containers whose init has ended, and the locks and control sockets that no keeper stands
 * behind, and drafts. What somebody holds the lock of is left alone.
 */
void sweep_run(int run);

/* The same for one namespace, whose lock the caller holds. */
void sweep_key(int run, const char *key);
