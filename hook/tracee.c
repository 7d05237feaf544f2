/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/tracee.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

bool tracee_status_is_call(int status)
{
	return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

int tracee_status_event(int status)
{
	return WIFSTOPPED(status) ? status >> 16 : 0;
}

static int tracee_resume(pid_t pid, int request, struct error *err)
{
	if (ptrace((enum __ptrace_request) request, pid, 0, 0) < 0)
		return error_set(err, errno, "resume process %d", (int) pid);
	return 0;
}

static int tracee_wait(pid_t pid, int *ret_status, struct error *err)
{
	int status;
	pid_t r;
	do
		r = waitpid(pid, &status, __WALL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set(err, errno, "wait for process %d", (int) pid);
	if (!WIFSTOPPED(status))
		return error_say(err, ESRCH, "process %d has ended", (int) pid);
	*ret_status = status;
	return 0;
}

/* A signal that arrives while the process is ours would run its handler on our registers. */
static void tracee_hold(struct tracee *t, int status)
{
	int sig = WSTOPSIG(status);
	bool is_group_stop = tracee_status_event(status) == PTRACE_EVENT_STOP && sig != SIGTRAP;
	if ((tracee_status_event(status) == 0 || is_group_stop) && sig >= 1 && sig <= 64)
		t->held |= UINT64_C(1) << (sig - 1);
}

/* Runs it to its next stop at a system call, its entry or its end in turn. */
static int tracee_next_call(struct tracee *t, struct error *err)
{
	for (;;) {
		int status = 0;
		int r = tracee_resume(t->pid, PTRACE_SYSCALL, err);
		if (r == 0)
			r = tracee_wait(t->pid, &status, err);
		if (r < 0)
			return r;
		if (tracee_status_is_call(status))
			return 0;
		tracee_hold(t, status);
	}
}

static int tracee_interrupt(struct tracee *t, struct error *err)
{
	if (ptrace(PTRACE_INTERRUPT, t->pid, 0, 0) < 0)
		return error_set(err, errno, "interrupt process %d", (int) t->pid);
	for (;;) {
		int status = 0;
		int r = tracee_wait(t->pid, &status, err);
		if (r < 0)
			return r;
		tracee_hold(t, status);
		if (tracee_status_event(status) == PTRACE_EVENT_STOP)
			return 0;
		r = tracee_resume(t->pid, PTRACE_CONT, err);
		if (r < 0)
			return r;
	}
}

/* The instruction that has just been run must be the one we count on, or the registers are not what we think. */
static int tracee_find_gate(struct tracee *t, struct error *err)
{
	unsigned char want[TRACEE_INSTRUCTION_MAX], have[TRACEE_INSTRUCTION_MAX];
	size_t len = tracee_instruction(&t->regs, want);
	if (t->regs.compat || len == 0)
		return error_say(err, EPROTO, "process %d runs 32-bit code", (int) t->pid);

	uint64_t gate = tracee_regs_pc(&t->regs) - len;
	int r = tracee_read(t->pid, gate, have, len, err);
	if (r < 0)
		return r;
	if (memcmp(want, have, len) != 0)
		return error_say(
			err, EPROTO, "process %d has made a system call in a way that we do not know", (int) t->pid);
	t->gate = gate;
	return 0;
}

int tracee_park(struct tracee *t, struct error *err)
{
	int r = tracee_interrupt(t, err);
	if (r == 0)
		r = tracee_next_call(t, err);
	if (r == 0)
		r = tracee_regs_get(t->pid, &t->regs, err);
	if (r == 0)
		r = tracee_find_gate(t, err);
	if (r == 0) {
		tracee_regs_rewind(&t->regs, t->gate);
		t->at_entry = true;
	}
	return r;
}

int tracee_finish_exec(struct tracee *t, struct error *err)
{
	int r = tracee_next_call(t, err);
	if (r == 0)
		r = tracee_regs_get(t->pid, &t->regs, err);
	return r;
}

int tracee_call(struct tracee *t, long number, const uint64_t args[6], int64_t *ret_result, struct error *err)
{
	struct tracee_regs regs = t->regs;
	int r;
	if (t->at_entry) {
		r = tracee_replace_call(t->pid, &regs, number, args, err);
	} else {
		tracee_regs_call(&regs, t->gate, number, args);
		r = tracee_regs_set(t->pid, &regs, err);
		if (r == 0)
			r = tracee_next_call(t, err); /* entry */
	}
	t->at_entry = false;
	if (r == 0)
		r = tracee_next_call(t, err); /* end */
	if (r == 0)
		r = tracee_regs_get(t->pid, &regs, err);
	if (r == 0)
		*ret_result = tracee_regs_result(&regs);
	return r;
}

int tracee_release(struct tracee *t, int request, struct error *err)
{
	int r = tracee_regs_set(t->pid, &t->regs, err);
	if (r < 0)
		return r;
	for (int sig = 1; sig <= 64; sig++) {
		if (t->held & UINT64_C(1) << (sig - 1))
			(void) syscall(SYS_tgkill, t->pid, t->pid, sig);
	}
	t->held = 0;
	return tracee_resume(t->pid, request, err);
}

int tracee_read(pid_t pid, uint64_t address, void *buf, size_t len, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		struct iovec to = { (char *) buf + done, len - done };
		struct iovec from = { (void *) (uintptr_t) (address + done), len - done };
		ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);
		if (n <= 0)
			return error_set(err, n < 0 ? errno : EIO, "read memory of process %d", (int) pid);
		done += (size_t) n;
	}
	return 0;
}

int tracee_write(pid_t pid, uint64_t address, const void *buf, size_t len, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		/* iov_base is not const for a buffer that is only read; through an integer, not to cast it away. */
		struct iovec from = { (void *) ((uintptr_t) buf + done), len - done };
		struct iovec to = { (void *) (uintptr_t) (address + done), len - done };
		ssize_t n = process_vm_writev(pid, &from, 1, &to, 1, 0);
		if (n <= 0)
			return error_set(err, n < 0 ? errno : EIO, "write memory of process %d", (int) pid);
		done += (size_t) n;
	}
	return 0;
}

int tracee_peek(pid_t pid, uint64_t address, long *ret, struct error *err)
{
	errno = 0; /* every word is a result, ptrace(2) */
	long word = ptrace(PTRACE_PEEKDATA, pid, (void *) (uintptr_t) address, 0);
	if (errno != 0)
		return error_set(err, errno, "read a word of process %d", (int) pid);
	*ret = word;
	return 0;
}

int tracee_poke(pid_t pid, uint64_t address, long word, struct error *err)
{
	if (ptrace(PTRACE_POKEDATA, pid, (void *) (uintptr_t) address, (void *) word) < 0)
		return error_set(err, errno, "write a word of process %d", (int) pid);
	return 0;
}
