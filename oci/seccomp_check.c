/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "oci/bpf.h"
#include "oci/seccomp_abi.h"
#include "oci/seccomp_probe.h"

#define ABI_X32_BIT 0x40000000

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

struct prober {
	int (*visit)(const struct seccomp_probe *probe, void *ctx, struct error *err);
	void *ctx;
	struct error *err;
};

static int probe(const struct prober *p, const struct abi *abi, const char *name, const struct seccomp_data *data,
	enum verdict want)
{
	struct seccomp_probe probe = { abi, name, *data, (uint32_t) want };
	return p->visit(&probe, p->ctx, p->err);
}

static int check_sockets(const struct prober *p, const struct abi *abi)
{
	struct seccomp_data data = { .nr = abi->socket, .arch = abi->audit_arch };
	for (size_t i = 0; i < ARRAY_SIZE(socket_probes); i++) {
		const struct probe *row = &socket_probes[i];
		data.args[0] = row->family;
		data.args[1] = row->type;
		data.args[2] = row->protocol;
		int r = probe(p, abi, row->name, &data, row->want);
		if (r != 0)
			return r;
	}
	return 0;
}

static int check_pairs(const struct prober *p, const struct abi *abi)
{
	static const uint64_t families[] = { 0, AF_INET, AF_INET6, AF_NETLINK, 30, HIGH | AF_INET, UINT32_MAX };
	struct seccomp_data data = { .nr = abi->socketpair, .arch = abi->audit_arch, .args = { AF_UNIX, SOCK_STREAM } };

	int r = probe(p, abi, "unix socketpair", &data, ALLOWED);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
		data.args[0] = families[i];
		r = probe(p, abi, "socketpair", &data, REFUSED);
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
static int check_numbers(const struct prober *p, const struct abi *abi)
{
	struct seccomp_data data = { .arch = abi->audit_arch, .args = { 1, 2, 3, 4, 5, 6 } };
	int r = 0;
	for (data.nr = 0; r == 0 && data.nr < 1024; data.nr++) {
		if (!abi_is_special(abi, data.nr))
			r = probe(p, abi, "system call", &data, abi_is_missing(abi, data.nr) ? MISSING : ALLOWED);
	}
	return r;
}

/* The numbers of x32, and an architecture that this machine cannot have. */
static int check_foreign(const struct prober *p)
{
	static const int numbers[] = { 0, 1, 41, 53, 59, 425, 512, 545 };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++) {
		struct seccomp_data data = {
			.nr = numbers[i], .arch = SECCOMP_UNKNOWN_ARCH, .args = { AF_UNIX, SOCK_STREAM }
		};
		r = probe(p, NULL, "unknown architecture", &data, MISSING);
#if defined(SECCOMP_FOR_x86_64)
		data.arch = AUDIT_ARCH_X86_64;
		data.nr |= ABI_X32_BIT;
		if (r == 0)
			r = probe(p, NULL, "x32", &data, MISSING);
#endif
	}
	return r;
}

int seccomp_probe_all(
	int (*visit)(const struct seccomp_probe *probe, void *ctx, struct error *err), void *ctx, struct error *err)
{
	struct prober p = { visit, ctx, err };
	int r = check_foreign(&p);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(seccomp_abis); i++) {
		r = check_sockets(&p, &seccomp_abis[i]);
		if (r == 0)
			r = check_pairs(&p, &seccomp_abis[i]);
		if (r == 0)
			r = check_numbers(&p, &seccomp_abis[i]);
	}
	return r;
}

static int compare(const struct seccomp_probe *probe, void *ctx, struct error *err)
{
	uint32_t got = bpf_run(ctx, &probe->data);
	if (got == probe->want)
		return 0;
	return error_say(err, EBADMSG, "seccomp filter, %s %s (system call %d): 0x%x, expected 0x%x",
		probe->abi ? probe->abi->name : "foreign", probe->name, probe->data.nr, got, probe->want);
}

int seccomp_filter_check(const struct sock_fprog *filter, struct error *err)
{
	if (bpf_validate(filter, err) < 0) {
		if (err)
			err->code = -EBADMSG;
		return -EBADMSG;
	}
	struct sock_fprog program = *filter;
	return seccomp_probe_all(compare, &program, err);
}
