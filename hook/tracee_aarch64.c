/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/tracee.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* In the registers of a 32-bit process, arch/arm: r0 to r15, cpsr, the first argument of the call. */
#define COMPAT_SP 13
#define COMPAT_PC 15

#define PRCTL 167

int tracee_regs_get(pid_t pid, struct tracee_regs *ret, struct error *err)
{
	struct tracee_regs regs = { 0 };
	struct iovec iov = { &regs.user, sizeof(regs.user) };
	if (ptrace(PTRACE_GETREGSET, pid, (void *) NT_PRSTATUS, &iov) < 0)
		return error_set(err, errno, "read registers of process %d", (int) pid);
	regs.compat = iov.iov_len == sizeof(regs.compat32); /* the kernel says by the length whose registers they are */
	*ret = regs;
	return 0;
}

int tracee_regs_set(pid_t pid, const struct tracee_regs *regs, struct error *err)
{
	struct tracee_regs copy = *regs;
	struct iovec iov = { &copy.user, copy.compat ? sizeof(copy.compat32) : sizeof(copy.user) };
	if (ptrace(PTRACE_SETREGSET, pid, (void *) NT_PRSTATUS, &iov) < 0)
		return error_set(err, errno, "write registers of process %d", (int) pid);
	return 0;
}

uint64_t tracee_regs_sp(const struct tracee_regs *regs)
{
	return regs->compat ? regs->compat32[COMPAT_SP] : regs->user.sp;
}

void tracee_regs_set_sp(struct tracee_regs *regs, uint64_t sp)
{
	if (regs->compat)
		regs->compat32[COMPAT_SP] = (uint32_t) sp;
	else
		regs->user.sp = sp;
}

uint64_t tracee_regs_pc(const struct tracee_regs *regs)
{
	return regs->compat ? regs->compat32[COMPAT_PC] : regs->user.pc;
}

/* Which of the two 32-bit instruction sets it is depends on the program: none. */
size_t tracee_instruction(const struct tracee_regs *regs, unsigned char ret[TRACEE_INSTRUCTION_MAX])
{
	if (regs->compat)
		return 0;
	memcpy(ret, "\x01\x00\x00\xd4" /* svc #0 */, 4);
	return 4;
}

long tracee_prctl_number(const struct tracee_regs *regs)
{
	(void) regs;
	return PRCTL;
}

/* x0 to x8 are still what the process had put there: the kernel keeps x7, which it shows as entry or end, by itself. */
void tracee_regs_rewind(struct tracee_regs *regs, uint64_t gate)
{
	regs->user.pc = gate;
}

void tracee_regs_call(struct tracee_regs *regs, uint64_t gate, long number, const uint64_t args[6])
{
	for (int i = 0; i < 6; i++)
		regs->user.regs[i] = args[i];
	regs->user.regs[8] = (unsigned long long) number;
	regs->user.pc = gate;
}

/* Only NT_ARM_SYSTEM_CALL changes the number that the kernel has already read; x8 is too late. */
int tracee_replace_call(
	pid_t pid, const struct tracee_regs *regs, long number, const uint64_t args[6], struct error *err)
{
	struct tracee_regs other = *regs;
	tracee_regs_call(&other, regs->user.pc + 4, number, args);
	int r = tracee_regs_set(pid, &other, err);
	if (r < 0)
		return r;
	int nr = (int) number;
	struct iovec iov = { &nr, sizeof(nr) };
	if (ptrace(PTRACE_SETREGSET, pid, (void *) NT_ARM_SYSTEM_CALL, &iov) < 0)
		return error_set(err, errno, "replace a system call of process %d", (int) pid);
	return 0;
}

int64_t tracee_regs_result(const struct tracee_regs *regs)
{
	return (int64_t) regs->user.regs[0];
}
