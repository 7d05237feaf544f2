/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <linux/prctl.h>

#include "base/cleanup.h"
#include "hook/stack.h"
#include "hook/tracee.h"

/* The kernel's limit is 6 MiB of strings (three quarters of _STK_LIM), and pointers to them. */
#define STACK_MAX (64u << 20)

/* Room below the new stack for what the injected call reads. */
#define SCRATCH 512

/* proc(5), /proc/PID/stat: numbers of the fields that make a struct prctl_mm_map. */
enum {
	STAT_START_CODE = 26,
	STAT_END_CODE = 27,
	STAT_START_DATA = 45,
	STAT_END_DATA = 46,
	STAT_START_BRK = 47,
	STAT_ARG_START = 48,
	STAT_ARG_END = 49,
	STAT_ENV_START = 50,
	STAT_ENV_END = 51,
	STAT_FIELDS = 53,
};

/* The name in field 2 is the program's: what follows its last ')' is not. */
static int program_stat(pid_t pid, uint64_t fields[STAT_FIELDS], struct error *err)
{
	char path[64], text[2048];
	(void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return error_set(err, n < 0 ? errno : EIO, "%s", path);
	text[n] = '\0';

	char *p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return error_say(err, EIO, "%s: no process name", path);
	p += 3; /* field 3, a letter */
	for (int i = 4; i < STAT_FIELDS; i++) {
		char *end;
		fields[i] = strtoull(p, &end, 10); /* of a negative one the two's complement */
		if (end == p)
			return error_say(err, EIO, "%s: no field %d", path, i);
		p = end;
	}
	return 0;
}

static int program_read_stack(
	pid_t pid, const struct tracee_regs *regs, uint64_t end, struct stack *ret, struct error *err)
{
	struct stack s = { .sp = tracee_regs_sp(regs), .word = regs->compat ? 4 : 8 };
	if (end <= s.sp || end - s.sp > STACK_MAX)
		return error_say(err, EINVAL, "initial stack from 0x%llx to 0x%llx", (unsigned long long) s.sp,
			(unsigned long long) end);
	s.len = (size_t) (end - s.sp);

	_cleanup_free_ unsigned char *bytes = malloc(s.len);
	if (!bytes)
		return error_set(err, ENOMEM, "initial stack");
	int r = tracee_read(pid, s.sp, bytes, s.len, err);
	if (r < 0)
		return r;
	s.bytes = TAKE_PTR(bytes);
	*ret = s;
	return 0;
}

/* The new vector and strings, and what takes the place of the old values. */
static int program_write_stack(pid_t pid, const struct stack *old, const struct stack_new *new,
	const struct bouquet *bouquet, struct error *err)
{
	/* One word at the lowest address lets the stack grow to there, as far as RLIMIT_STACK allows. */
	int r = tracee_poke(pid, new->sp - SCRATCH, 0, err);
	if (r == 0)
		r = tracee_write(pid, new->sp, new->bytes, new->len, err);
	if (r < 0)
		return error_wrap(err, "environment of %zu bytes", new->len);

	size_t from, to;
	if (stack_overwrite(old, bouquet, &from, &to) == 0)
		return 0;
	return tracee_write(pid, old->sp + from, old->bytes + from, to - from, err);
}

/* Replaces the program's first instruction by a system call's. *ret_saved puts it back. */
static int program_poke_gate(
	struct tracee *t, const unsigned char *instruction, size_t len, uint64_t *ret_at, long *ret_saved)
{
	uint64_t pc = tracee_regs_pc(&t->regs);
	uint64_t at = pc & ~(uint64_t) (sizeof(long) - 1); /* a word that does not reach into the next page */
	if (pc - at + len > sizeof(long))
		at = pc;

	long saved;
	int r = tracee_peek(t->pid, at, &saved, NULL);
	if (r < 0)
		return r;
	unsigned char word[sizeof(long)];
	memcpy(word, &saved, sizeof(word));
	memcpy(word + (pc - at), instruction, len);
	long patched;
	memcpy(&patched, word, sizeof(patched));
	r = tracee_poke(t->pid, at, patched, NULL);
	if (r < 0)
		return r;
	t->gate = pc;
	*ret_at = at;
	*ret_saved = saved;
	return 0;
}

/*
 * Tells the kernel where the environment lies now, for /proc/PID/environ. A kernel that refuses (no
 * CONFIG_CHECKPOINT_RESTORE, a limit) is no error: the old place holds no old values any more. What is an error is a
 * program that we cannot leave as it was.
 */
static int program_move_environ(struct tracee *t, const uint64_t *stat, const struct stack_new *new, struct error *err)
{
	struct prctl_mm_map map = {
		.start_code = stat[STAT_START_CODE],
		.end_code = stat[STAT_END_CODE],
		.start_data = stat[STAT_START_DATA],
		.end_data = stat[STAT_END_DATA],
		.start_brk = stat[STAT_START_BRK],
		.brk = stat[STAT_START_BRK], /* nothing has been allocated yet */
		.start_stack = new->sp,
		.arg_start = stat[STAT_ARG_START],
		.arg_end = stat[STAT_ARG_END],
		.env_start = new->env_start,
		.env_end = new->env_end,
		.exe_fd = (__u32) -1, /* auxv_size 0 and this: auxv and exe stay */
	};
	uint64_t scratch = new->sp - SCRATCH;
	unsigned char instruction[TRACEE_INSTRUCTION_MAX];
	size_t len = tracee_instruction(&t->regs, instruction);
	uint64_t at;
	long saved;

	_Static_assert(sizeof(map) <= SCRATCH, "room below the stack");
	if (len == 0 || tracee_write(t->pid, scratch, &map, sizeof(map), NULL) < 0)
		return 0;
	if (program_poke_gate(t, instruction, len, &at, &saved) < 0)
		return 0;

	const uint64_t args[6] = { PR_SET_MM, PR_SET_MM_MAP, scratch, sizeof(map), 0, 0 };
	int64_t result;
	int r = tracee_call(t, tracee_prctl_number(&t->regs), args, &result, err);
	if (r < 0)
		return r;
	return tracee_poke(t->pid, at, saved, err);
}

/* For the call of ours alone: needs CAP_SYS_ADMIN in the initial user namespace, and ends with the tracing. */
static bool program_suspend_seccomp(pid_t pid, long options)
{
	return ptrace(PTRACE_SETOPTIONS, pid, 0, (void *) (options | PTRACE_O_SUSPEND_SECCOMP)) == 0;
}

static int program_rewrite(struct tracee *t, const uint64_t *stat, const struct bouquet *bouquet, struct stack *old,
	struct stack_new *new, struct error *err)
{
	int r = program_read_stack(t->pid, &t->regs, stat[STAT_ENV_END], old, err);
	if (r == 0)
		r = stack_rebuild(old, bouquet, new, err);
	if (r == 0)
		r = program_write_stack(t->pid, old, new, bouquet, err);
	return r;
}

int program_arm(pid_t pid, long options, const struct bouquet *bouquet, bool may_kill_prctl, struct error *err)
{
	struct tracee t = { .pid = pid };
	uint64_t stat[STAT_FIELDS];
	int r = tracee_regs_get(pid, &t.regs, err);
	if (r == 0)
		r = program_stat(pid, stat, err);
	if (r < 0)
		return r;

	struct stack old = { 0 };
	struct stack_new new = { 0 };
	r = program_rewrite(&t, stat, bouquet, &old, &new, err);
	_cleanup_free_ unsigned char *old_bytes = old.bytes, *new_bytes = new.bytes;
	(void) old_bytes;
	(void) new_bytes;
	if (r == 0)
		r = tracee_finish_exec(&t, err);
	if (r < 0)
		return r;

	tracee_regs_set_sp(&t.regs, new.sp);
	if (program_suspend_seccomp(pid, options) || !may_kill_prctl)
		r = program_move_environ(&t, stat, &new, err);
	if (r < 0)
		return r;
	return tracee_release(&t, PTRACE_DETACH, err);
}
