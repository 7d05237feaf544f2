/* SPDX-License-Identifier: Apache-2.0 */
/* The table of system calls that a filter is asked about, and what ours must say. */
#pragma once

#include <stdint.h>

#include <linux/seccomp.h>

#include "base/error.h"

struct abi;

struct seccomp_probe {
	const struct abi *abi; /* NULL: of none that there is, x32's included */
	const char *name;
	struct seccomp_data data;
	uint32_t want; /* SECCOMP_RET_* */
};

/* Visits all of it, until visit() returns what is not 0, which is then returned. */
int seccomp_probe_all(
	int (*visit)(const struct seccomp_probe *probe, void *ctx, struct error *err), void *ctx, struct error *err);
