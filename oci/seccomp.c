/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that calls libseccomp. The allow-list is said as denials, since all other system calls stay as the
 * runtime's own profile has them. Each denial compares with ==, > or under a mask: never with !=, which the 64-bit
 * comparisons of libseccomp 2.5 get wrong when high bits are set that the kernel ignores. Each ABI has a database of
 * its own, merged at the end: rules for several ABIs at once make libseccomp 2.5.4 lose the load of the number.
 */
#include "oci/seccomp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/audit.h>

#include "base/cleanup.h"
#include "oci/bpf.h"

/* An ABI that the kernel may offer. socketcall: -1 where there is none. */
struct abi {
	const char *name;
	uint32_t scmp_arch, audit_arch;
	int socket, socketpair, socketcall;
};

#if defined(__x86_64__)
static const struct abi abis[] = {
	{ "x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 41, 53, -1 },
	{ "i386", SCMP_ARCH_X86, AUDIT_ARCH_I386, 359, 360, 102 },
};
#define UNKNOWN_ARCH AUDIT_ARCH_AARCH64
#elif defined(__aarch64__)
static const struct abi abis[] = {
	{ "aarch64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 198, 199, -1 },
	{ "arm", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 281, 288, -1 },
};
#define UNKNOWN_ARCH AUDIT_ARCH_X86_64
#else
#error "no seccomp filter for this architecture"
#endif

#define ABI_X32_BIT 0x40000000

/* The same on every architecture since 5.1, when numbers were unified. */
#define IO_URING_SETUP 425
#define IO_URING_ENTER 426
#define IO_URING_REGISTER 427

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

	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, ABSENT);
	if (r == 0 && abi->scmp_arch != seccomp_arch_native()) {
		r = seccomp_arch_add(ctx, abi->scmp_arch);
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
	int r = filter_make(&abis[0], &all, err);
	if (r < 0)
		return r;

	for (size_t i = 1; i < ARRAY_SIZE(abis); i++) {
		__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = NULL;
		r = filter_make(&abis[i], &ctx, err);
		if (r < 0)
			return r;
		r = seccomp_merge(all, ctx);
		if (r < 0)
			return error_set(err, -r, "seccomp filter for %s: merge", abis[i].name);
		ctx = NULL; /* merging has released it */
	}
	*ret = TAKE_PTR(all);
	return 0;
}

/* libseccomp exports to a descriptor and nowhere else. */
static int filter_export(scmp_filter_ctx ctx, struct sock_fprog *ret, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "memfd_create");
	int r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return error_set(err, -r, "seccomp_export_bpf");

	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "exported seccomp filter");
	size_t size = (size_t) st.st_size, n = size / sizeof(struct sock_filter);
	if (n == 0 || n > BPF_MAXINSNS || size % sizeof(struct sock_filter))
		return error_say(err, EBADMSG, "exported seccomp filter has %zu bytes", size);

	_cleanup_free_ struct sock_filter *filter = malloc(size);
	if (!filter)
		return error_set(err, ENOMEM, "exported seccomp filter");
	if (pread(fd, filter, size, 0) != (ssize_t) size)
		return error_say(err, EIO, "exported seccomp filter: short read");
	*ret = (struct sock_fprog){ .len = (unsigned short) n, .filter = TAKE_PTR(filter) };
	return 0;
}

int seccomp_filter_build(struct sock_fprog *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = NULL;
	int r = filter_make_all(&ctx, err);
	if (r < 0)
		return r;

	struct sock_fprog filter = { 0 };
	r = filter_export(ctx, &filter, err);
	if (r < 0)
		return r;
	r = seccomp_filter_check(&filter, err);
	if (r < 0) {
		seccomp_filter_free(&filter);
		return r;
	}
	*ret = filter;
	return 0;
}

void seccomp_filter_free(struct sock_fprog *filter)
{
	free(filter->filter);
	*filter = (struct sock_fprog){ 0 };
}

enum verdict {
	ALLOWED = SECCOMP_RET_ALLOW,
	REFUSED = SECCOMP_RET_ERRNO | EPERM,
	MISSING = SECCOMP_RET_ERRNO | ENOSYS,
};

#define HIGH (UINT64_C(1) << 32)
#define FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* socket(2), on each ABI: what an argument says in its low 32 bits must not be said differently by the high ones. */
static const struct probe {
	const char *name;
	uint64_t family, type, protocol;
	enum verdict want;
} socket_probes[] = {
	{ "unix stream", AF_UNIX, SOCK_STREAM, 0, ALLOWED },
	{ "unix dgram with flags", AF_UNIX, SOCK_DGRAM | FLAGS, 0, ALLOWED },
	{ "unix raw", AF_UNIX, SOCK_RAW, 0, ALLOWED },
	{ "unix seqpacket", AF_UNIX, SOCK_SEQPACKET, 0, ALLOWED },
	{ "inet stream", AF_INET, SOCK_STREAM, 0, ALLOWED },
	{ "inet stream TCP with flags", AF_INET, SOCK_STREAM | FLAGS, IPPROTO_TCP, ALLOWED },
	{ "inet6 stream", AF_INET6, SOCK_STREAM, 0, ALLOWED },
	{ "inet6 stream TCP with flags", AF_INET6, SOCK_STREAM | FLAGS, IPPROTO_TCP, ALLOWED },
	{ "netlink raw route", AF_NETLINK, SOCK_RAW, 0, ALLOWED },
	{ "netlink dgram route with flags", AF_NETLINK, SOCK_DGRAM | FLAGS, 0, ALLOWED },
	{ "netlink stream route", AF_NETLINK, SOCK_STREAM, 0, REFUSED },
	{ "netlink netfilter", AF_NETLINK, SOCK_RAW, 12, REFUSED },
	{ "netlink audit, high bits", AF_NETLINK, SOCK_RAW, HIGH | 9, REFUSED },
	{ "inet dgram", AF_INET, SOCK_DGRAM, 0, REFUSED },
	{ "inet dgram UDP with flags", AF_INET, SOCK_DGRAM | FLAGS, IPPROTO_UDP, REFUSED },
	{ "inet dgram ICMP", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, REFUSED },
	{ "inet dgram L2TP", AF_INET, SOCK_DGRAM, 115, REFUSED },
	{ "inet6 dgram", AF_INET6, SOCK_DGRAM, 0, REFUSED },
	{ "inet6 dgram UDP-Lite", AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE, REFUSED },
	{ "inet raw ICMP", AF_INET, SOCK_RAW, IPPROTO_ICMP, REFUSED },
	{ "inet raw TCP", AF_INET, SOCK_RAW, IPPROTO_TCP, REFUSED },
	{ "inet raw with flags", AF_INET, SOCK_RAW | FLAGS, IPPROTO_ICMP, REFUSED },
	{ "inet6 raw", AF_INET6, SOCK_RAW, IPPROTO_RAW, REFUSED },
	{ "inet rdm", AF_INET, SOCK_RDM, 0, REFUSED },
	{ "inet seqpacket SCTP", AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP, REFUSED },
	{ "inet DCCP", AF_INET, SOCK_DCCP, IPPROTO_DCCP, REFUSED },
	{ "inet SOCK_PACKET", AF_INET, SOCK_PACKET, 0x300, REFUSED },
	{ "inet SOCK_PACKET, no protocol", AF_INET, SOCK_PACKET, 0, REFUSED },
	{ "inet type 0", AF_INET, 0, 0, REFUSED },
	{ "inet type 9", AF_INET, 9, 0, REFUSED },
	{ "inet stream ICMP", AF_INET, SOCK_STREAM, IPPROTO_ICMP, REFUSED },
	{ "inet stream IGMP", AF_INET, SOCK_STREAM, IPPROTO_IGMP, REFUSED },
	{ "inet stream 3", AF_INET, SOCK_STREAM, 3, REFUSED },
	{ "inet stream IPIP", AF_INET, SOCK_STREAM, IPPROTO_IPIP, REFUSED },
	{ "inet stream 5", AF_INET, SOCK_STREAM, 5, REFUSED },
	{ "inet stream SCTP", AF_INET, SOCK_STREAM, IPPROTO_SCTP, REFUSED },
	{ "inet stream SMC", AF_INET, SOCK_STREAM, 256, REFUSED },
	{ "inet stream MPTCP", AF_INET, SOCK_STREAM, 262, REFUSED },
	{ "inet6 stream MPTCP", AF_INET6, SOCK_STREAM, 262, REFUSED },
	{ "inet stream protocol -1", AF_INET, SOCK_STREAM, UINT32_MAX, REFUSED },
	{ "inet dgram, high bits in the family", HIGH | AF_INET, SOCK_DGRAM, 0, REFUSED },
	{ "inet raw, high bits in the type", AF_INET, HIGH | SOCK_RAW, IPPROTO_ICMP, REFUSED },
	{ "inet SOCK_PACKET, high bits in the type", AF_INET, HIGH | SOCK_PACKET, 0, REFUSED },
	{ "inet MPTCP, high bits in the protocol", AF_INET, SOCK_STREAM, HIGH | 262, REFUSED },
	{ "inet6 dgram, high bits everywhere", HIGH | AF_INET6, HIGH | SOCK_DGRAM, HIGH, REFUSED },
	{ "packet", AF_PACKET, SOCK_RAW, 0, REFUSED },
	{ "packet, high bits", HIGH | AF_PACKET, SOCK_RAW, 0, REFUSED },
	{ "packet, sign bits", UINT64_C(0xffffffff00000000) | AF_PACKET, SOCK_RAW, 0, REFUSED },
	{ "key", AF_KEY, SOCK_RAW, 2, REFUSED },
	{ "alg", AF_ALG, SOCK_SEQPACKET, 0, REFUSED },
	{ "vsock", AF_VSOCK, SOCK_STREAM, 0, REFUSED },
	{ "vsock, high bits", HIGH << 1 | AF_VSOCK, SOCK_STREAM, 0, REFUSED },
	{ "xdp", AF_XDP, SOCK_RAW, 0, REFUSED },
	{ "unspec", AF_UNSPEC, SOCK_STREAM, 0, REFUSED },
	{ "unspec, high bits", HIGH, SOCK_STREAM, 0, REFUSED },
	{ "family 3", 3, SOCK_SEQPACKET, 0, REFUSED },
	{ "family 7", 7, SOCK_STREAM, 0, REFUSED },
	{ "family 8", 8, SOCK_STREAM, 0, REFUSED },
	{ "family 9", 9, SOCK_STREAM, 0, REFUSED },
	{ "family 11", 11, SOCK_STREAM, 0, REFUSED },
	{ "family 14", 14, SOCK_STREAM, 0, REFUSED },
	{ "family 46", 46, SOCK_STREAM, 0, REFUSED },
	{ "family 255", 255, SOCK_STREAM, 0, REFUSED },
	{ "family -1", UINT32_MAX, SOCK_STREAM, 0, REFUSED },
};

static int probe(const struct sock_fprog *filter, const char *abi, const char *name, const struct seccomp_data *data,
	enum verdict want, struct error *err)
{
	uint32_t got = bpf_run(filter, data);
	if (got == (uint32_t) want)
		return 0;
	return error_say(err, EBADMSG, "seccomp filter, %s %s (system call %d): 0x%x, expected 0x%x", abi, name,
		data->nr, got, (uint32_t) want);
}

static int check_sockets(const struct sock_fprog *filter, const struct abi *abi, struct error *err)
{
	struct seccomp_data data = { .nr = abi->socket, .arch = abi->audit_arch };
	for (size_t i = 0; i < ARRAY_SIZE(socket_probes); i++) {
		const struct probe *p = &socket_probes[i];
		data.args[0] = p->family;
		data.args[1] = p->type;
		data.args[2] = p->protocol;
		int r = probe(filter, abi->name, p->name, &data, p->want, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_pairs(const struct sock_fprog *filter, const struct abi *abi, struct error *err)
{
	static const uint64_t families[] = { 0, AF_INET, AF_INET6, AF_NETLINK, 30, HIGH | AF_INET, UINT32_MAX };
	struct seccomp_data data = { .nr = abi->socketpair, .arch = abi->audit_arch, .args = { AF_UNIX, SOCK_STREAM } };

	int r = probe(filter, abi->name, "unix socketpair", &data, ALLOWED, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
		data.args[0] = families[i];
		r = probe(filter, abi->name, "socketpair", &data, REFUSED, err);
	}
	return r;
}

static bool abi_is_special(const struct abi *abi, int nr)
{
	return nr == abi->socket || nr == abi->socketpair;
}

static bool abi_is_missing(const struct abi *abi, int nr)
{
	return nr == abi->socketcall || (nr >= IO_URING_SETUP && nr <= IO_URING_REGISTER);
}

/* All numbers that there are, and some. */
static int check_numbers(const struct sock_fprog *filter, const struct abi *abi, struct error *err)
{
	struct seccomp_data data = { .arch = abi->audit_arch, .args = { 1, 2, 3, 4, 5, 6 } };
	int r = 0;
	for (data.nr = 0; r == 0 && data.nr < 1024; data.nr++) {
		if (!abi_is_special(abi, data.nr))
			r = probe(filter, abi->name, "system call", &data,
				abi_is_missing(abi, data.nr) ? MISSING : ALLOWED, err);
	}
	return r;
}

/* The numbers of x32, and an architecture that this machine cannot have. */
static int check_foreign(const struct sock_fprog *filter, struct error *err)
{
	static const int numbers[] = { 0, 1, 41, 53, 59, 425, 512, 545 };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++) {
		struct seccomp_data data = { .nr = numbers[i], .arch = UNKNOWN_ARCH, .args = { AF_UNIX, SOCK_STREAM } };
		r = probe(filter, "unknown architecture", "system call", &data, MISSING, err);
#if defined(__x86_64__)
		data.arch = AUDIT_ARCH_X86_64;
		data.nr |= ABI_X32_BIT;
		if (r == 0)
			r = probe(filter, "x32", "system call", &data, MISSING, err);
#endif
	}
	return r;
}

int seccomp_filter_check(const struct sock_fprog *filter, struct error *err)
{
	if (bpf_validate(filter, err) < 0) {
		if (err)
			err->code = -EBADMSG;
		return -EBADMSG;
	}

	int r = check_foreign(filter, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(abis); i++) {
		r = check_sockets(filter, &abis[i], err);
		if (r == 0)
			r = check_pairs(filter, &abis[i], err);
		if (r == 0)
			r = check_numbers(filter, &abis[i], err);
	}
	return r;
}
