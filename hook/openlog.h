/* SPDX-License-Identifier: Apache-2.0 */
/* The lines in a container's log that a hook writes: that it started without a guard, and why; what it is called. */
#pragma once

#include "hook/record.h"

/* Appends it to LOG/ID.log. A failure is not worth a word here: syslog and the record say the same. */
void openlog_write(const char *log_dir, const struct record *record);

/* Appends the names of a container that has some to the log that its connections are in: who asks for that log by one
 * of them finds it when the record is gone. */
void openlog_write_names(const char *log_dir, const struct record *record);
