/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up capabilities, by the bare system calls: libcap would be one more library in every container's keeper. */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define PRIVILEGE_BIT(cap) (UINT64_C(1) << (cap))

/*
 * Leaves the capabilities of keep (of those that the process has) in the permitted and effective sets, none in the
 * inheritable and ambient ones, and sets no_new_privs. The bounding set is cut to keep while there is CAP_SETPCAP,
 * without it it stays as an earlier call left it. capabilities(7).
 */
int privilege_keep(uint64_t keep, struct error *err);
