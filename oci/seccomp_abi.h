/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ABIs that a kernel may offer on the architecture that the filter is for, SECCOMP_FOR_*: where the filter is
 * generated, the compiler's own may be another.
 */
#pragma once

#include <stdint.h>

#include <linux/audit.h>

/* socketcall: -1 where there is none. */
struct abi {
	const char *name;
	uint32_t audit_arch;
	int socket, socketpair, socketcall;
};

#if defined(SECCOMP_FOR_x86_64)
static const struct abi seccomp_abis[] = {
	{ "x86_64", AUDIT_ARCH_X86_64, 41, 53, -1 },
	{ "i386", AUDIT_ARCH_I386, 359, 360, 102 },
};
#define SECCOMP_UNKNOWN_ARCH AUDIT_ARCH_AARCH64
#elif defined(SECCOMP_FOR_aarch64)
static const struct abi seccomp_abis[] = {
	{ "aarch64", AUDIT_ARCH_AARCH64, 198, 199, -1 },
	{ "arm", AUDIT_ARCH_ARM, 281, 288, -1 },
};
#define SECCOMP_UNKNOWN_ARCH AUDIT_ARCH_X86_64
#else
#error "no seccomp filter for this architecture"
#endif

/* The same on every architecture since 5.1, when numbers were unified. */
#define IO_URING_SETUP 425
#define IO_URING_ENTER 426
#define IO_URING_REGISTER 427
