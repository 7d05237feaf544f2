/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bpf.h"

#include <errno.h>
#include <string.h>

/* An operation on the accumulator: may it be there, and with this constant? */
static const char *bpf_alu_problem(const struct sock_filter *f)
{
	bool constant = BPF_SRC(f->code) == BPF_K;

	switch (BPF_OP(f->code)) {
	case BPF_DIV:
		return constant && f->k == 0 ? "division by zero" : NULL;
	case BPF_LSH:
	case BPF_RSH:
		return constant && f->k >= 32 ? "shift by more than the word" : NULL;
	case BPF_NEG:
		return constant ? NULL : "unknown instruction";
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return NULL;
	default:
		return "unknown instruction";
	}
}

static const char *bpf_jump_problem(const struct sock_filter *f, size_t left)
{
	switch (BPF_OP(f->code)) {
	case BPF_JA:
		if (BPF_SRC(f->code) != BPF_K)
			return "unknown instruction";
		return f->k >= left ? "jump out of the program" : NULL;
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return f->jt >= left || f->jf >= left ? "jump out of the program" : NULL;
	default:
		return "unknown instruction";
	}
}

/* left: how many instructions follow this one. */
static const char *bpf_problem(const struct sock_filter *f, size_t left)
{
	if (f->code > 0xff)
		return "unknown instruction";

	switch (BPF_CLASS(f->code)) {
	case BPF_ALU:
		return bpf_alu_problem(f);
	case BPF_JMP:
		return bpf_jump_problem(f, left);
	}

	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return f->k % 4 || f->k >= sizeof(struct seccomp_data) ? "load from outside of seccomp_data" : NULL;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return f->k >= BPF_MEMWORDS ? "no such memory word" : NULL;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
		return NULL;
	default:
		return "unknown instruction";
	}
}

int bpf_validate(const struct sock_fprog *program, struct error *err)
{
	size_t n = program->len;
	if (n == 0 || n > BPF_MAXINSNS)
		return error_say(err, EINVAL, "BPF program of %zu instructions", n);

	for (size_t i = 0; i < n; i++) {
		const char *problem = bpf_problem(&program->filter[i], n - 1 - i);
		if (problem)
			return error_say(err, EINVAL, "BPF instruction %zu: %s", i, problem);
	}
	if (BPF_CLASS(program->filter[n - 1].code) != BPF_RET)
		return error_say(err, EINVAL, "BPF program does not end with a return");
	return 0;
}

static uint32_t bpf_load(const struct seccomp_data *data, uint32_t offset)
{
	uint32_t word;
	memcpy(&word, (const char *) data + offset, sizeof(word));
	return word;
}

/* Division by an X of zero never comes here: it ends the program. Shifts count modulo 32, as in the kernel. */
static uint32_t bpf_alu(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return a / b;
	case BPF_AND:
		return a & b;
	case BPF_OR:
		return a | b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	default: /* BPF_NEG */
		return 0 - a;
	}
}

static bool bpf_compare(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default: /* BPF_JSET */
		return (a & b) != 0;
	}
}

uint32_t bpf_run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };

	for (size_t pc = 0; pc < program->len; pc++) {
		const struct sock_filter *f = &program->filter[pc];
		uint32_t operand = BPF_SRC(f->code) == BPF_X ? x : f->k;
		uint16_t op = BPF_OP(f->code);

		switch (BPF_CLASS(f->code)) {
		case BPF_ALU:
			if (op == BPF_DIV && operand == 0)
				return 0;
			a = bpf_alu(op, a, operand);
			continue;
		case BPF_JMP:
			pc += op == BPF_JA ? f->k : bpf_compare(op, a, operand) ? f->jt : f->jf;
			continue;
		}

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = bpf_load(data, f->k);
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof(*data);
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof(*data);
			break;
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = f->k;
			break;
		case BPF_LD | BPF_MEM:
			a = mem[f->k];
			break;
		case BPF_LDX | BPF_MEM:
			x = mem[f->k];
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_STX:
			mem[f->k] = x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_RET | BPF_A:
			return a;
		default: /* BPF_RET | BPF_K */
			return f->k;
		}
	}
	return 0; /* SECCOMP_RET_KILL_THREAD: not reached in a program that ends with a return */
}
