/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile of the OCI runtime-spec (config-linux.md, Seccomp) with our filter worked into it: for where
 * config.json can still be edited, and the runtime then filters exec'd processes too.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct json;
struct json_value;

/*
 * The text of a whole new linux.seccomp object that, compiled by the runtime, gives each system call the stricter of
 * what the old one gives and of what our filter does (oci/seccomp.h); which errno, where both have one, is either's.
 * seccomp: linux.seccomp in json, which was read without comments; NULL, or JSON null: there is none, as with
 * "unconfined". Members that nobody knows are kept. Of SCMP_ARCH_X32 a profile cannot say what the filter does, ENOSYS,
 * so it is taken out of the architectures: those system calls kill.
 *
 * What is returned has been compiled with libseccomp by the calls that runc makes, and interpreted: -EINVAL and the
 * rule that is wrong, or cannot be made to hold, as FILE:LINE:COLUMN: linux.seccomp.syscalls[N] ...; -ENOMEM and other
 * errors of the system.
 * *ret_text, *ret_len: not terminated by NUL, the caller's: free(). Untouched on failure.
 */
int profile_merge(
	const struct json *json, const struct json_value *seccomp, char **ret_text, size_t *ret_len, struct error *err);
