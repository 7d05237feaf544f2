/* SPDX-License-Identifier: Apache-2.0 */
/* How the wrapper says that it failed: as the runtime would have, where the engine looks for that. */
#pragma once

#include "hook/runtime_args.h"

/*
 * Appends an error to the file of --log, in the format of --log-format (runc's and crun's: logrus), and to syslog(3).
 * What the wrapper's own stdout and stderr are is the container's to see: stderr gets it only where there is no --log,
 * as from the runtimes themselves.
 */
void runtime_log(const struct runtime_args *args, const char *msg);
