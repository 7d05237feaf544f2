/* SPDX-License-Identifier: Apache-2.0 */
/* Does a merged profile hold? Asked of the programs that libseccomp makes, not of the rules. */
#pragma once

#include "base/error.h"

struct profile;

/*
 * Compiles both as runtimes do and runs the merged one for each probe that there is of our filter, and for some of the
 * original's own conditions: it must be as strict as the original and as our filter, and where both permit say what the
 * original says. (Of socketcall(2) only that it is refused: its rule covers what the original may have killed for.) The
 * numbers that our filter has nothing to say about must have what the original's rules say.
 *
 * 0; -EINVAL and the original's rule that is in the way; or an error of the system.
 */
int profile_check(const struct profile *original, const struct profile *merged, struct error *err);
