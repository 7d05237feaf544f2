/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's seccomp filter: an allow-list of sockets, everything else as the runtime's own profile has it.
 * Generated with libseccomp when this is built, and proved there by interpreting it against a table of probes: what
 * fails one does not build.
 */
#pragma once

#include <linux/filter.h>

#include "base/error.h"

/* The filter for this machine's architecture. *ret->filter is the caller's: seccomp_filter_free(). 0, or -ENOMEM. */
int seccomp_filter_get(struct sock_fprog *ret, struct error *err);
void seccomp_filter_free(struct sock_fprog *filter);

/* The check alone: 0, or -EBADMSG and the first probe whose result is wrong. Any program is safe to pass. */
int seccomp_filter_check(const struct sock_fprog *filter, struct error *err);
