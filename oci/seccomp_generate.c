/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the filter as C source, for seccomp.c: run when that is built, on the machine that builds, since making it
 * takes longer than half of a hook's other work. The allow-list is said as denials, since all other system calls stay
 * as the runtime's own profile has them. Each denial compares with ==, > or under a mask: never with !=, which the
 * 64-bit comparisons of libseccomp 2.5 get wrong when high bits are set that the kernel ignores. Each ABI has a
 * database of its own, merged at the end: rules for several ABIs at once make libseccomp 2.5.4 lose the load of the
 * number.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "oci/seccomp.h"
#include "oci/seccomp_abi.h"
#include "oci/seccomp_export.h"

#define DENY SCMP_ACT_ERRNO(EPERM)
#define ABSENT SCMP_ACT_ERRNO(ENOSYS)
#define SOCKET SCMP_SYS(socket)
#define SOCKETPAIR SCMP_SYS(socketpair)

/* clang-format off */
#define EQ(n, value) { n, SCMP_CMP_EQ, value, 0 }
#define GT(n, value) { n, SCMP_CMP_GT, value, 0 }
#define BITS(n, mask, value) { n, SCMP_CMP_MASKED_EQ, mask, value }
/* clang-format on */

/* The two inet families, 2 and 10: other numbers with these low bits are refused by family anyway. */
#define INET BITS(0, 0x7, 2)
#define NETLINK EQ(0, AF_NETLINK)

static_assert(AF_UNIX == 1 && AF_INET == 2 && AF_INET6 == 10 && AF_NETLINK == 16, "the masks below count on these");
static_assert(SOCK_STREAM == 1 && SOCK_DGRAM == 2 && SOCK_RAW == 3, "and these");

static const struct rule {
	uint32_t action;
	int number;
	unsigned n;
	struct scmp_arg_cmp args[2];
} rules[] = {
	/* families other than unix, inet, inet6 and netlink */
	{ DENY, SOCKET, 1, { GT(0, AF_NETLINK) } },
	{ DENY, SOCKET, 1, { EQ(0, 0) } },
	{ DENY, SOCKET, 1, { EQ(0, 3) } },
	{ DENY, SOCKET, 1, { BITS(0, 0xc, 0x4) } }, /* 4 to 7 */
	{ DENY, SOCKET, 1, { BITS(0, 0xe, 0x8) } }, /* 8, 9 */
	{ DENY, SOCKET, 1, { EQ(0, 11) } },
	{ DENY, SOCKET, 1, { BITS(0, 0xc, 0xc) } }, /* 12 to 15 */
	/* inet: types other than SOCK_STREAM; flags (SOCK_CLOEXEC, SOCK_NONBLOCK) lie above the low four bits */
	{ DENY, SOCKET, 2, { INET, BITS(1, 0x1, 0) } },
	{ DENY, SOCKET, 2, { INET, BITS(1, 0x2, 0x2) } },
	{ DENY, SOCKET, 2, { INET, BITS(1, 0x4, 0x4) } },
	{ DENY, SOCKET, 2, { INET, BITS(1, 0x8, 0x8) } },
	/* inet: protocols other than 0 and IPPROTO_TCP, 6 */
	{ DENY, SOCKET, 2, { INET, GT(2, IPPROTO_TCP) } },
	{ DENY, SOCKET, 2, { INET, BITS(2, 0x1, 0x1) } }, /* 1, 3, 5 */
	{ DENY, SOCKET, 2, { INET, EQ(2, 2) } },
	{ DENY, SOCKET, 2, { INET, EQ(2, 4) } },
	/* netlink: protocols other than NETLINK_ROUTE, 0; types other than SOCK_DGRAM and SOCK_RAW */
	{ DENY, SOCKET, 2, { NETLINK, GT(2, 0) } },
	{ DENY, SOCKET, 2, { NETLINK, BITS(1, 0x2, 0) } },
	{ DENY, SOCKET, 2, { NETLINK, BITS(1, 0x4, 0x4) } },
	{ DENY, SOCKET, 2, { NETLINK, BITS(1, 0x8, 0x8) } },
	/* pairs: unix alone */
	{ DENY, SOCKETPAIR, 1, { EQ(0, 0) } },
	{ DENY, SOCKETPAIR, 1, { GT(0, AF_UNIX) } },
	/* what goes on in a ring is invisible to seccomp */
	{ ABSENT, SCMP_SYS(io_uring_setup), 0, { EQ(0, 0) } },
	{ ABSENT, SCMP_SYS(io_uring_enter), 0, { EQ(0, 0) } },
	{ ABSENT, SCMP_SYS(io_uring_register), 0, { EQ(0, 0) } },
};

static void cleanup_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int filter_add_rules(scmp_filter_ctx ctx, const struct abi *abi, struct error *err)
{
	int r;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		r = seccomp_rule_add_array(ctx, rules[i].action, rules[i].number, rules[i].n, rules[i].args);
		if (r < 0)
			return error_set(err, -r, "seccomp rule %zu for %s", i, abi->name);
	}
	/* Its arguments lie behind a pointer. Only where it exists: elsewhere its number is a pseudo one. */
	if (abi->socketcall < 0)
		return 0;
	r = seccomp_rule_add(ctx, ABSENT, SCMP_SYS(socketcall), 0);
	return r < 0 ? error_set(err, -r, "seccomp rule for socketcall on %s", abi->name) : 0;
}

/*
 * A database for one ABI. An ABI that the merged filter does not have is "bad" to libseccomp, and gets ENOSYS; so do
 * the numbers of x32, which share their audit architecture with x86_64.
 */
static int filter_make(const struct abi *abi, scmp_filter_ctx *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return error_set(err, ENOMEM, "seccomp_init");

	/* libseccomp's names for architectures are the kernel's, seccomp_arch_add(3). */
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, ABSENT);
	if (r == 0 && abi->audit_arch != seccomp_arch_native()) {
		r = seccomp_arch_add(ctx, abi->audit_arch);
		if (r == 0)
			r = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
	}
	if (r < 0)
		return error_set(err, -r, "seccomp filter for %s", abi->name);
	r = filter_add_rules(ctx, abi, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ctx);
	return 0;
}

static int filter_make_all(scmp_filter_ctx *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx all = NULL;
	int r = filter_make(&seccomp_abis[0], &all, err);
	if (r < 0)
		return r;

	for (size_t i = 1; i < ARRAY_SIZE(seccomp_abis); i++) {
		__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = NULL;
		r = filter_make(&seccomp_abis[i], &ctx, err);
		if (r < 0)
			return r;
		r = seccomp_merge(all, ctx);
		if (r < 0)
			return error_set(err, -r, "seccomp filter for %s: merge", seccomp_abis[i].name);
		ctx = NULL; /* merging has released it */
	}
	*ret = TAKE_PTR(all);
	return 0;
}

static int generate(struct sock_fprog *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = NULL;
	int r = filter_make_all(&ctx, err);
	if (r == 0)
		r = seccomp_export(ctx, ret, err);
	return r < 0 ? r : seccomp_filter_check(ret, err);
}

int main(void)
{
	struct sock_fprog filter = { 0 };
	struct error err;
	if (generate(&filter, &err) < 0) {
		(void) fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	(void) printf("/* %s, by libseccomp %d.%d.%d */\n", seccomp_abis[0].name, SCMP_VER_MAJOR, SCMP_VER_MINOR,
		SCMP_VER_MICRO);
	for (size_t i = 0; i < filter.len; i++) {
		const struct sock_filter *f = &filter.filter[i];
		(void) printf("{ 0x%x, %u, %u, 0x%x },\n", f->code, f->jt, f->jf, f->k);
	}
	free(filter.filter);
	return fflush(stdout) == 0 ? 0 : 1;
}
