/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/tracee.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>

#define CS_32BIT 0x23 /* __USER32_CS */

#define PRCTL_64 157
#define PRCTL_32 172

int tracee_regs_get(pid_t pid, struct tracee_regs *ret, struct error *err)
{
	struct tracee_regs regs = { 0 };
	if (ptrace(PTRACE_GETREGS, pid, 0, &regs.user) < 0)
		return error_set(err, errno, "read registers of process %d", (int) pid);
	regs.compat = regs.user.cs == CS_32BIT;
	*ret = regs;
	return 0;
}

int tracee_regs_set(pid_t pid, const struct tracee_regs *regs, struct error *err)
{
	if (ptrace(PTRACE_SETREGS, pid, 0, &regs->user) < 0)
		return error_set(err, errno, "write registers of process %d", (int) pid);
	return 0;
}

uint64_t tracee_regs_sp(const struct tracee_regs *regs)
{
	return regs->user.rsp;
}

void tracee_regs_set_sp(struct tracee_regs *regs, uint64_t sp)
{
	regs->user.rsp = sp;
}

uint64_t tracee_regs_pc(const struct tracee_regs *regs)
{
	return regs->user.rip;
}

size_t tracee_instruction(const struct tracee_regs *regs, unsigned char ret[TRACEE_INSTRUCTION_MAX])
{
	memcpy(ret, regs->compat ? "\xcd\x80" /* int $0x80 */ : "\x0f\x05" /* syscall */, 2);
	return 2;
}

long tracee_prctl_number(const struct tracee_regs *regs)
{
	return regs->compat ? PRCTL_32 : PRCTL_64;
}

void tracee_regs_rewind(struct tracee_regs *regs, uint64_t gate)
{
	regs->user.rip = gate;
	regs->user.rax = regs->user.orig_rax;
	regs->user.orig_rax = (unsigned long long) -1; /* in no call: nothing for the kernel to restart */
}

void tracee_regs_call(struct tracee_regs *regs, uint64_t gate, long number, const uint64_t args[6])
{
	struct user_regs_struct *u = &regs->user;
	u->rip = gate;
	u->rax = (unsigned long long) number;
	u->orig_rax = (unsigned long long) -1;
	if (regs->compat) {
		u->rbx = args[0];
		u->rcx = args[1];
		u->rdx = args[2];
		u->rsi = args[3];
		u->rdi = args[4];
		u->rbp = args[5];
		return;
	}
	u->rdi = args[0];
	u->rsi = args[1];
	u->rdx = args[2];
	u->r10 = args[3];
	u->r8 = args[4];
	u->r9 = args[5];
}

/* regs may be rewound: the kernel has read its number, and takes another one from orig_rax alone. */
int tracee_replace_call(
	pid_t pid, const struct tracee_regs *regs, long number, const uint64_t args[6], struct error *err)
{
	struct tracee_regs other = *regs;
	tracee_regs_call(&other, regs->user.rip + 2, number, args);
	other.user.orig_rax = (unsigned long long) number;
	return tracee_regs_set(pid, &other, err);
}

int64_t tracee_regs_result(const struct tracee_regs *regs)
{
	return regs->compat ? (int32_t) regs->user.rax : (int64_t) regs->user.rax;
}
