/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's seccomp filter: an allow-list of sockets, everything else as the runtime's own profile has it.
 * Built with libseccomp, then proved by interpreting the exported BPF against a table of probes, before anybody uses
 * it.
 */
#pragma once

#include <linux/filter.h>

#include "base/error.h"

/*
 * Builds the filter for this machine's architecture and checks it. *ret->filter is the caller's: seccomp_filter_free().
 * -EBADMSG: the built filter fails a probe; err names it.
 */
int seccomp_filter_build(struct sock_fprog *ret, struct error *err);
void seccomp_filter_free(struct sock_fprog *filter);

/* The check alone: 0, or -EBADMSG and the first probe whose result is wrong. Any program is safe to pass. */
int seccomp_filter_check(const struct sock_fprog *filter, struct error *err);
