/* SPDX-License-Identifier: Apache-2.0 */
/* What people see of a process in ps(1): the role in its command line, /proc/PID/cmdline. */
#pragma once

/* argv as main() has it, with the role at [1]. Without it title_set() does nothing. */
void title_take(char **argv);

/* The role of a process that was born as a copy of another; cut to the length of the one that it was started with. */
void title_set(const char *role);
