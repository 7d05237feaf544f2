/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bpf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LOAD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RETURN(k) BPF_STMT(BPF_RET | BPF_K, k)
#define RETURN_A BPF_STMT(BPF_RET | BPF_A, 0)
#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct sock_fprog program(struct sock_filter *f, size_t n)
{
	return (struct sock_fprog){ .len = (unsigned short) n, .filter = f };
}

/* What two instructions make of a number. */
static uint32_t run_nr(int nr, struct sock_filter second)
{
	struct sock_filter f[] = { LOAD_NR, second, RETURN_A };
	struct sock_fprog p = program(f, N(f));
	struct seccomp_data data = { .nr = nr };
	assert_int_equal(bpf_validate(&p, NULL), 0);
	return bpf_run(&p, &data);
}

static void test_arithmetic(void **state)
{
	(void) state;
	static const struct {
		uint16_t op;
		int a;
		uint32_t k, want;
	} rows[] = {
		{ BPF_ADD, 5, UINT32_MAX, 4 },
		{ BPF_SUB, 5, 6, UINT32_MAX },
		{ BPF_MUL, 65536, 65537, 65536 },
		{ BPF_DIV, -1, 2, 0x7fffffff },
		{ BPF_AND, 0xff, 0x0f, 0x0f },
		{ BPF_OR, 0xf0, 0x0f, 0xff },
		{ BPF_XOR, 0xff, 0x0f, 0xf0 },
		{ BPF_LSH, 1, 31, 0x80000000 },
		{ BPF_RSH, -1, 31, 1 },
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct sock_filter f = BPF_STMT((uint16_t) (BPF_ALU | BPF_K | rows[i].op), rows[i].k);
		assert_int_equal(run_nr(rows[i].a, f), rows[i].want);
	}
	assert_int_equal(run_nr(1, (struct sock_filter) BPF_STMT(BPF_ALU | BPF_NEG, 0)), UINT32_MAX);
}

static void test_jumps(void **state)
{
	(void) state;
	static const struct {
		uint16_t op;
		int a;
		uint32_t k;
		uint32_t want;
	} rows[] = {
		{ BPF_JEQ, 3, 3, 1 },
		{ BPF_JEQ, 3, 4, 2 },
		{ BPF_JGT, -1, 3, 1 }, /* unsigned */
		{ BPF_JGT, 3, 3, 2 },
		{ BPF_JGE, 3, 3, 1 },
		{ BPF_JGE, 2, 3, 2 },
		{ BPF_JSET, 6, 2, 1 },
		{ BPF_JSET, 4, 3, 2 },
	};
	for (size_t i = 0; i < N(rows); i++) {
		struct sock_filter f[] = { LOAD_NR,
			BPF_JUMP((uint16_t) (BPF_JMP | BPF_K | rows[i].op), rows[i].k, 1, 2), RETURN(9), RETURN(1),
			RETURN(2) };
		struct sock_fprog p = program(f, N(f));
		struct seccomp_data data = { .nr = rows[i].a };
		assert_int_equal(bpf_validate(&p, NULL), 0);
		assert_int_equal(bpf_run(&p, &data), rows[i].want);
	}
}

static void test_memory_and_x(void **state)
{
	(void) state;
	struct sock_filter f[] = {
		LOAD_NR,
		BPF_STMT(BPF_ST, 15),
		BPF_STMT(BPF_LDX | BPF_MEM, 15),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		RETURN(0),
		RETURN_A,
	};
	struct sock_fprog p = program(f, N(f));
	struct seccomp_data data = { .nr = 7 };
	assert_int_equal(bpf_validate(&p, NULL), 0);
	assert_int_equal(bpf_run(&p, &data), 7 + sizeof(data));
}

static void test_division_by_x(void **state)
{
	(void) state;
	struct sock_filter f[] = { BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_LD | BPF_IMM, 8),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RETURN(1) };
	struct sock_fprog p = program(f, N(f));
	struct seccomp_data data = { 0 };
	assert_int_equal(bpf_validate(&p, NULL), 0);
	assert_int_equal(bpf_run(&p, &data), 0);
}

static void test_invalid(void **state)
{
	(void) state;
	static struct sock_filter firsts[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(struct seccomp_data)),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 16),
		BPF_STMT(BPF_ST, 16),
		BPF_STMT(BPF_STX, UINT32_MAX),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_JUMP(BPF_JMP | 0xf0, 0, 0, 0),
		BPF_STMT(0x100 | BPF_RET, 0),
	};
	for (size_t i = 0; i < N(firsts); i++) {
		struct sock_filter f[] = { firsts[i], RETURN(0) };
		struct sock_fprog p = program(f, N(f));
		struct error err;
		assert_int_equal(bpf_validate(&p, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "instruction 0"));
	}
}

static void test_length(void **state)
{
	(void) state;
	static struct sock_filter f[BPF_MAXINSNS + 1];
	for (size_t i = 0; i < N(f); i++)
		f[i] = (struct sock_filter) RETURN(0);
	struct sock_fprog none = program(f, 0), most = program(f, BPF_MAXINSNS), more = program(f, BPF_MAXINSNS + 1);
	assert_int_equal(bpf_validate(&none, NULL), -EINVAL);
	assert_int_equal(bpf_validate(&most, NULL), 0);
	assert_int_equal(bpf_validate(&more, NULL), -EINVAL);

	f[1] = (struct sock_filter) LOAD_NR;
	struct sock_fprog open_end = program(f, 2);
	assert_int_equal(bpf_validate(&open_end, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_jumps),
		cmocka_unit_test(test_memory_and_x),
		cmocka_unit_test(test_division_by_x),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
