/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initial stack of a program as execve(2) leaves it (System V ABI, "Process Initialization"): argc, argv, the
 * environment, the auxiliary vector, and above them their strings. Pure: bytes in, bytes out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/bouquet.h"

struct stack {
	uint64_t sp;          /* the address of bytes[0], and of argc */
	unsigned char *bytes; /* from sp to the end of the environment's strings */
	size_t len;
	unsigned word; /* bytes of a pointer: 4 or 8 */
};

/* What is to be written at sp. */
struct stack_new {
	uint64_t sp; /* the new stack pointer, a multiple of 16 */
	unsigned char *bytes;
	size_t len;
	uint64_t env_start, env_end; /* where the new environment's strings lie, all of them, one after the other */
};

/*
 * A stack with the bouquet in its environment: the variables that it replaces are left out, the others keep their
 * order, ours come last; what ours go behind (bouquet_adopt()) is in front of them. argv and the auxiliary vector keep their pointers; what these point to stays where it is. The
 * new vector and the new environment's strings take the place of the old vector and as much below it as they need.
 * ret->bytes is the caller's. -EINVAL: these bytes are no initial stack.
 */
int stack_rebuild(const struct stack *old, const struct bouquet *bouquet, struct stack_new *ret, struct error *err);

/*
 * Overwrites, in old->bytes, the strings of the variables that the bouquet replaces, so that no credentials in them
 * survive: with the bouquet's own value where that is not longer, else with zeros. Returns how many there were, and in
 * *ret_from and *ret_to the range of old->bytes that has changed.
 */
size_t stack_overwrite(const struct stack *old, const struct bouquet *bouquet, size_t *ret_from, size_t *ret_to);
