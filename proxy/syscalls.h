/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's system call allow-list: what serving connections needs, and nothing that names a path or a process. */
#pragma once

#include "base/error.h"

/* Loads it; there is no way back. What is not listed kills the process, opening a path fails with ENOENT. */
int syscalls_limit(struct error *err);
