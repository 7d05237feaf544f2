/* SPDX-License-Identifier: Apache-2.0 */
/* A program at its first instruction: what execve(2) has made, with another environment. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/bouquet.h"

/*
 * For a leader in its PTRACE_EVENT_EXEC stop, traced with these PTRACE_O_* options: puts the bouquet into its
 * environment and detaches from it. What /proc/PID/environ shows is the new environment where the kernel lets us
 * (PR_SET_MM_MAP, prctl(2)). may_kill_prctl: there is a seccomp profile, which may kill for prctl(2).
 */
int program_arm(pid_t pid, long options, const struct bouquet *bouquet, bool may_kill_prctl, struct error *err);
