/* SPDX-License-Identifier: Apache-2.0 */
/* The line in a container's log that says that it started without a guard, and why. */
#pragma once

#include "hook/record.h"

/* Appends it to LOG/ID.log. A failure is not worth a word here: syslog and the record say the same. */
void openlog_write(const char *log_dir, const struct record *record);
