/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container's bundle is. */
#pragma once

#include <limits.h>
#include <stddef.h>

#include "base/error.h"

/*
 * The bundle as the state on stdin says it; or, where that is "/", as the runtime that called this hook was told: crun
 * up to 1.29 says "/" for a container whose user namespace it has entered, as the directory that it is in.
 */
int bundle_find(const char *said, char ret[PATH_MAX], struct error *err);

/* --bundle or -b of a command line as /proc/PID/cmdline has it; NULL: none, or no absolute path. */
const char *bundle_of_command_line(const char *text, size_t len);
