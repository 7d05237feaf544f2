/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up capabilities, by the bare system calls: libcap would be one more library in every container's keeper. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define PRIVILEGE_BIT(cap) (UINT64_C(1) << (cap))

/*
 * Leaves the capabilities of keep (of those that the process has) in the permitted and effective sets, none in the
 * inheritable and ambient ones, and sets no_new_privs. The bounding set is cut to keep while there is CAP_SETPCAP,
 * without it it stays as it is. capabilities(7).
 */
int privilege_keep(uint64_t keep, struct error *err);

/*
 * Whom the worker of the keeper with this pid is to run as: WORKER_UID_BASE + pid, nobody else's. A user namespace that
 * lacks it, a user's own, gives the highest id that is mapped for users and groups, one of the user's subordinate ids
 * that containers' users reach last; or the user itself, where that is all there is. subuid(5).
 */
uint32_t privilege_worker_uid(pid_t keeper);
