/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-written BPF: an allow-list of numbers needs no library. One pass from the top, the most frequent calls first;
 * each block tests one number and ends in a verdict, so that what falls through all of them is killed. The kernel
 * remembers which numbers pass whatever their arguments (seccomp's action cache), so length costs nothing there.
 */
#include "proxy/syscalls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "proxy/sanitizer.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the worker's system call list knows x86_64 and aarch64"
#endif

/* x86_64 numbers with this bit are the x32 ABI's: the same arch value, other calls. seccomp(2) */
#define X32_BIT 0x40000000u

#define PROGRAM_MAX 512

struct program {
	struct sock_filter code[PROGRAM_MAX];
	size_t len;
};

/* Pass, whatever their arguments. */
static const int plain[] = {
	SYS_splice,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
	SYS_read,
	SYS_write,
	SYS_writev,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_sendto, /* not sendmsg(2): a descriptor that reaches the keeper is closed by it, and a close(2) can block */
	SYS_close,
	SYS_accept4,
	SYS_connect,
	SYS_shutdown,
	SYS_pipe2,
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_getrandom,
	SYS_futex,
	SYS_brk,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_getpid,
	SYS_gettid,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_restart_syscall,
	SYS_tgkill, /* abort(3); nobody else has this uid */
	SYS_exit,
	SYS_exit_group,
#ifdef SANITIZED
	SYS_sigaltstack,
	SYS_sched_yield,
	SYS_sched_getaffinity,
	SYS_getrusage,
	SYS_getuid,
	SYS_prctl,
	SYS_mmap,
	SYS_mprotect,
	SYS_ioctl,
#endif
};

/* Libraries that look for a file of theirs find none: the root is empty, and this spares the look. */
static const int no_such_file[] = {
	SYS_openat,
	SYS_newfstatat,
	SYS_statx,
	SYS_faccessat,
	SYS_readlinkat,
#ifdef SYS_open
	SYS_open,
	SYS_stat,
	SYS_access,
	SYS_readlink,
#endif
};

struct option {
	int level, name;
};

static const struct option set_options[] = {
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_RCVLOWAT },
};

static const struct option get_options[] = {
	{ SOL_SOCKET, SO_ERROR },
};

static void emit(struct program *p, struct sock_filter instruction)
{
	assert(p->len < PROGRAM_MAX);
	p->code[p->len++] = instruction;
}

static void emit_return(struct program *p, uint32_t verdict)
{
	emit(p, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, verdict));
}

static void emit_load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offset));
}

/* The low half of an argument: both architectures are little-endian, and these arguments are ints to the kernel. */
static void emit_load_argument(struct program *p, unsigned n)
{
	emit_load(p, offsetof(struct seccomp_data, args) + n * sizeof(uint64_t));
}

/* The block of one number: what is emitted until block_end() runs for that number alone. */
static size_t block_begin(struct program *p, int number)
{
	size_t at = p->len;
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) number, 0, 0));
	return at;
}

static void block_end(struct program *p, size_t at)
{
	assert(p->len - at - 1 <= UINT8_MAX);
	p->code[at].jf = (uint8_t) (p->len - at - 1);
}

static void verdict(struct program *p, int number, uint32_t action)
{
	size_t at = block_begin(p, number);
	emit_return(p, action);
	block_end(p, at);
}

static void emit_allow_values(struct program *p, const uint32_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1));
		emit_return(p, SECCOMP_RET_ALLOW);
	}
}

/* Passes where the argument is one of values, else fails with errnum. */
static void allow_values(struct program *p, int number, unsigned arg, const uint32_t *values, size_t n, int errnum)
{
	size_t at = block_begin(p, number);
	emit_load_argument(p, arg);
	emit_allow_values(p, values, n);
	emit_return(p, SECCOMP_RET_ERRNO | (uint32_t) errnum);
	block_end(p, at);
}

/* setsockopt(2) and getsockopt(2): these options; the kernel is said not to have the others. */
static void allow_options(struct program *p, int number, const struct option *options, size_t n)
{
	size_t at = block_begin(p, number);
	for (size_t i = 0; i < n; i++) {
		emit_load_argument(p, 1);
		emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) options[i].level, 0, 3));
		emit_load_argument(p, 2);
		emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) options[i].name, 0, 1));
		emit_return(p, SECCOMP_RET_ALLOW);
	}
	emit_return(p, SECCOMP_RET_ERRNO | ENOPROTOOPT);
	block_end(p, at);
}

#ifndef SANITIZED
/* Passes where the argument has none of these bits. */
static void allow_without(struct program *p, int number, unsigned arg, uint32_t bits)
{
	size_t at = block_begin(p, number);
	emit_load_argument(p, arg);
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
	emit_return(p, SECCOMP_RET_KILL_PROCESS);
	emit_return(p, SECCOMP_RET_ALLOW);
	block_end(p, at);
}
#endif

/* TCP and UDP over IPv4 and IPv6; all other families and types fail as if the kernel had them not. */
static void allow_sockets(struct program *p)
{
	static const uint32_t types[] = { SOCK_STREAM, SOCK_DGRAM };

	size_t at = block_begin(p, SYS_socket);
	emit_load_argument(p, 0);
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
	emit_return(p, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
	emit_load_argument(p, 1);
	emit(p, (struct sock_filter) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t) (SOCK_CLOEXEC | SOCK_NONBLOCK)));
	emit_allow_values(p, types, ARRAY_SIZE(types));
	emit_return(p, SECCOMP_RET_ERRNO | EPROTONOSUPPORT);
	block_end(p, at);
}

static void build(struct program *p)
{
	static const uint32_t fcntls[] = { F_GETFL, F_SETPIPE_SZ }; /* F_SETFL takes O_APPEND off the log */
	static const uint32_t ioctls[] = { SIOCOUTQ, SIOCINQ, SIOCGIFINDEX /* of a link-local name server */ };

	emit_load(p, offsetof(struct seccomp_data, arch));
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	emit_return(p, SECCOMP_RET_KILL_PROCESS);
	emit_load(p, offsetof(struct seccomp_data, nr));
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
	emit_return(p, SECCOMP_RET_KILL_PROCESS);

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		verdict(p, plain[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < ARRAY_SIZE(no_such_file); i++)
		verdict(p, no_such_file[i], SECCOMP_RET_ERRNO | ENOENT);
	verdict(p, SYS_lseek, SECCOMP_RET_ERRNO | ESPIPE); /* stdio asks where a descriptor stands */
	allow_sockets(p);
	allow_options(p, SYS_setsockopt, set_options, ARRAY_SIZE(set_options));
	allow_options(p, SYS_getsockopt, get_options, ARRAY_SIZE(get_options));
	allow_values(p, SYS_fcntl, 1, fcntls, ARRAY_SIZE(fcntls), EINVAL);
	allow_values(p, SYS_ioctl, 1, ioctls, ARRAY_SIZE(ioctls), ENOTTY);
#ifndef SANITIZED
	allow_without(p, SYS_mmap, 2, PROT_EXEC);
	allow_without(p, SYS_mprotect, 2, PROT_EXEC);
#endif
	emit_return(p, SECCOMP_RET_KILL_PROCESS);
}

int syscalls_limit(struct error *err)
{
	struct program p = { .len = 0 };
	build(&p);
	struct sock_fprog prog = { .len = (unsigned short) p.len, .filter = p.code };
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		return error_set(err, errno, "seccomp");
	return 0;
}
