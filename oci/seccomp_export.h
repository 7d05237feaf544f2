/* SPDX-License-Identifier: Apache-2.0 */
/* What libseccomp makes of its rules, as a program in memory. */
#pragma once

#include <linux/filter.h>

#include "base/error.h"

/* ctx: a scmp_filter_ctx. 0 and *ret, whose filter is the caller's: free(); or a negative error, -E2BIG: too long. */
int seccomp_export(void *ctx, struct sock_fprog *ret, struct error *err);
