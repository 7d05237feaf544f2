/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel seam of arming: a seized process's leader, stopped; its registers, its memory, and system calls that we
 * make it run. ptrace(2). What differs by architecture is below, in tracee_x86_64.c and tracee_aarch64.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"

struct tracee_regs {
	bool compat; /* the process runs 32-bit code */
	union {
		struct user_regs_struct user;
		uint32_t compat32[18]; /* aarch64 only; x86_64 shows 32-bit processes in 64-bit registers */
	};
};

struct tracee {
	pid_t pid;
	struct tracee_regs regs; /* what it will go on with */
	uint64_t gate;           /* the address of a system call instruction, while it is ours */
	uint64_t held;           /* signals that came while it was ours, one bit each: it gets them afterwards */
	bool at_entry;           /* it stands at the entry of a call that is still to be replaced by one of ours */
};

/*
 * Stops a running leader in front of its next system call, the one it is in included (the kernel restarts that), and
 * makes gate that call's instruction. The first tracee_call() takes its place; it is made again after the release.
 * -EPROTO: it does not run native code.
 */
int tracee_park(struct tracee *tracee, struct error *err);

/* From the stop at an exec (PTRACE_EVENT_EXEC) to the end of that execve(2), with regs at the program's first. */
int tracee_finish_exec(struct tracee *tracee, struct error *err);

/* Runs a system call at the gate. *ret_result is what the kernel says, -errno in the usual way. */
int tracee_call(struct tracee *tracee, long number, const uint64_t args[6], int64_t *ret_result, struct error *err);

/* Lets it go on with regs and the signals that were held: request is PTRACE_CONT, or PTRACE_DETACH. */
int tracee_release(struct tracee *tracee, int request, struct error *err);

/* Memory; write only what is writable and mapped. */
int tracee_read(pid_t pid, uint64_t address, void *buf, size_t len, struct error *err);
int tracee_write(pid_t pid, uint64_t address, const void *buf, size_t len, struct error *err);

/*
 * Memory that is not: read-only text is written all the same, and the stack grows down to address. process_vm_writev(2)
 * does neither. Whole words only, as PTRACE_PEEKDATA and POKEDATA have them.
 */
int tracee_peek(pid_t pid, uint64_t address, long *ret, struct error *err);
int tracee_poke(pid_t pid, uint64_t address, long word, struct error *err);

/* Whether a status of waitpid(2) is a stop at a system call (PTRACE_O_TRACESYSGOOD), and its PTRACE_EVENT_*, or 0. */
bool tracee_status_is_call(int status);
int tracee_status_event(int status);

/* --- by architecture --- */

#define TRACEE_INSTRUCTION_MAX 4

int tracee_regs_get(pid_t pid, struct tracee_regs *ret, struct error *err);
int tracee_regs_set(pid_t pid, const struct tracee_regs *regs, struct error *err);
uint64_t tracee_regs_sp(const struct tracee_regs *regs);
void tracee_regs_set_sp(struct tracee_regs *regs, uint64_t sp);
uint64_t tracee_regs_pc(const struct tracee_regs *regs);

/* The system call instruction for such a process. Returns its length; 0: we have none, and run no calls in it. */
size_t tracee_instruction(const struct tracee_regs *regs, unsigned char ret[TRACEE_INSTRUCTION_MAX]);

/* The number of prctl(2) for such a process. */
long tracee_prctl_number(const struct tracee_regs *regs);

/* At the entry of a system call, with these registers: the kernel is to make this one instead. */
int tracee_replace_call(
	pid_t pid, const struct tracee_regs *regs, long number, const uint64_t args[6], struct error *err);

/* From registers at the entry of a call to those in front of its instruction, which runs it again. */
void tracee_regs_rewind(struct tracee_regs *regs, uint64_t gate);

/* Registers that run a call at gate, and what it gave. */
void tracee_regs_call(struct tracee_regs *regs, uint64_t gate, long number, const uint64_t args[6]);
int64_t tracee_regs_result(const struct tracee_regs *regs);
