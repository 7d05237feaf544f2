/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF as seccomp(2) runs it: is this a program that the kernel takes, and what does it say to a system call.
 * Pure; no program, however hostile, makes it read or write outside of its own, or run for longer than its length.
 */
#pragma once

#include <stdint.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/error.h"

/*
 * The kernel's own checks (bpf_check_classic(), seccomp_check_filter()): length, known instructions, jumps that stay
 * inside, aligned loads from struct seccomp_data, a return at the end. 0, or -EINVAL and the first instruction that is
 * wrong. A memory word that is read before it is written is 0 here; the kernel refuses such a program.
 */
int bpf_validate(const struct sock_fprog *program, struct error *err);

/* The program's verdict, a SECCOMP_RET_* value. Only for a program that bpf_validate() has passed. */
uint32_t bpf_run(const struct sock_fprog *program, const struct seccomp_data *data);
