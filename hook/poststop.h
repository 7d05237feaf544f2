/* SPDX-License-Identifier: Apache-2.0 */
/* The container is gone. Whatever must go with it has gone by itself; this is a hint to look now, and a broom. */
#pragma once

#include <stddef.h>

#include "oci/settings.h"

/* Safe for containers that never were ours, and twice. Returns the exit status. */
int poststop_run(const struct settings *settings, const char *state, size_t len);
