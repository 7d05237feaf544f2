/* SPDX-License-Identifier: Apache-2.0 */
/* The filter: interpreted for every socket(2) there is, and lived in, with the rows of the shared corpus. */
#include "oci/seccomp.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "oci/bpf.h"

#if defined(__x86_64__)
static const struct {
	uint32_t arch;
	int socket;
} abis[] = { { AUDIT_ARCH_X86_64, 41 }, { AUDIT_ARCH_I386, 359 } };
#elif defined(__aarch64__)
static const struct {
	uint32_t arch;
	int socket;
} abis[] = { { AUDIT_ARCH_AARCH64, 198 }, { AUDIT_ARCH_ARM, 281 } };
#endif

static struct sock_fprog filter;

/* The allow-list, said once more and differently: by what the kernel takes the arguments for. */
static bool may_open(uint64_t family, uint64_t type, uint64_t protocol)
{
	int f = (int) family, t = (int) type & 0xf, p = (int) protocol;
	switch (f) {
	case AF_UNIX:
		return true;
	case AF_INET:
	case AF_INET6:
		return t == SOCK_STREAM && (p == 0 || p == IPPROTO_TCP);
	case AF_NETLINK:
		return (t == SOCK_RAW || t == SOCK_DGRAM) && p == 0;
	default:
		return false;
	}
}

static void check_socket(size_t abi, uint64_t family, uint64_t type, uint64_t protocol)
{
	struct seccomp_data data = {
		.nr = abis[abi].socket, .arch = abis[abi].arch, .args = { family, type, protocol }
	};
	uint32_t got = bpf_run(&filter, &data);
	uint32_t want = may_open(family, type, protocol) ? SECCOMP_RET_ALLOW : (uint32_t) (SECCOMP_RET_ERRNO | EPERM);
	/* What is odd in its high bits may be refused all the same. */
	bool odd = (family | type | protocol) >> 32 != 0;
	if (got != want && !(odd && got == (SECCOMP_RET_ERRNO | EPERM)))
		fail_msg("socket(0x%llx, 0x%llx, 0x%llx) on 0x%x: 0x%x", (unsigned long long) family,
			(unsigned long long) type, (unsigned long long) protocol, abis[abi].arch, got);
}

static void test_every_socket(void **state)
{
	(void) state;
	static const uint64_t high[] = { 0, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_C(0xffffffff00000000) };
	static const uint64_t flags[] = { 0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK, 0x10,
		0x80000000 };
	for (size_t abi = 0; abi < ARRAY_SIZE(abis); abi++) {
		for (uint64_t family = 0; family < 64; family++)
			for (uint64_t type = 0; type < 16; type++)
				for (uint64_t protocol = 0; protocol < 300; protocol++)
					check_socket(abi, family, type | flags[(family + protocol) % ARRAY_SIZE(flags)],
						protocol);
		for (uint64_t family = 0; family < 24; family++)
			for (uint64_t type = 0; type < 12; type++)
				for (uint64_t protocol = 0; protocol < 9; protocol++)
					for (size_t h = 0; h < 64; h++)
						check_socket(abi, high[h & 3] | family, high[h >> 2 & 3] | type,
							high[h >> 4 & 3] | protocol);
		for (unsigned bit = 0; bit < 32; bit++) {
			check_socket(abi, UINT64_C(1) << bit, SOCK_STREAM, 0);
			check_socket(abi, AF_INET, SOCK_STREAM, UINT64_C(1) << bit);
			check_socket(abi, AF_NETLINK, SOCK_RAW, UINT64_C(1) << bit);
		}
	}
}

/* The check must notice any verdict that is another. */
static void test_check_notices(void **state)
{
	(void) state;
	assert_int_equal(seccomp_filter_check(&filter, NULL), 0);
	size_t returns = 0;
	for (size_t i = 0; i < filter.len; i++) {
		if (BPF_CLASS(filter.filter[i].code) != BPF_RET)
			continue;
		returns++;
		struct error err = { 0 };
		uint32_t was = filter.filter[i].k;
		filter.filter[i].k = was == SECCOMP_RET_ALLOW ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW;
		assert_int_equal(seccomp_filter_check(&filter, &err), -EBADMSG);
		assert_true(err.code == -EBADMSG && err.msg[0]);
		filter.filter[i].k = was;
	}
	assert_true(returns >= 3);
}

/* And any comparison that is. One that is unreachable or says the same twice would survive: there is none. */
static void test_check_notices_comparisons(void **state)
{
	(void) state;
	for (size_t i = 0; i < filter.len; i++) {
		if (BPF_CLASS(filter.filter[i].code) != BPF_JMP || filter.filter[i].jt == filter.filter[i].jf)
			continue;
		struct sock_filter was = filter.filter[i];
		filter.filter[i].jt = was.jf;
		filter.filter[i].jf = was.jt;
		if (seccomp_filter_check(&filter, NULL) == 0)
			fail_msg("instruction %zu may be turned round", i);
		filter.filter[i] = was;
	}
}

static void test_check_takes_anything(void **state)
{
	(void) state;
	struct sock_filter f[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog all = { .len = 1, .filter = f }, none = { .len = 0, .filter = f };
	assert_int_equal(seccomp_filter_check(&all, NULL), -EBADMSG);
	assert_int_equal(seccomp_filter_check(&none, NULL), -EBADMSG);
	f[0] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 400);
	assert_int_equal(seccomp_filter_check(&all, NULL), -EBADMSG);
}

/* --- lived in --- */

/* Rows of the corpus that the runtime's own profile answers: the filter leaves all but sockets and rings to it. */
static const char *const not_ours[] = { "c127", "c129", "c131", "c132", "c133", "c147", "c148", "c149",
	/* a process that enters by exec never had it: the link alone holds that one */ "c142",
	/* another architecture's */ "c123" };

#define ANY_TYPE 0xff

static const struct row {
	const char *id;
	int family, type, protocol, errnum; /* errnum 0: it must open */
} rows[] = {
	{ "c001", AF_INET, SOCK_STREAM, 0, 0 },
	{ "c002", AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP, 0 },
	{ "c005", AF_UNIX, SOCK_STREAM, 0, 0 },
	{ "c006", AF_UNIX, SOCK_DGRAM, 0, 0 },
	{ "c007", AF_UNIX, SOCK_SEQPACKET, 0, 0 },
	{ "netlink", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0, 0 },
	{ "c041", AF_INET, SOCK_DGRAM, 0, EPERM },
	{ "c042", AF_INET6, SOCK_DGRAM, 0, EPERM },
	{ "c043", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, EPERM },
	{ "c044", AF_INET, SOCK_DGRAM, IPPROTO_UDP, EPERM },
	{ "c049", AF_INET, SOCK_DGRAM, IPPROTO_UDP, EPERM },
	{ "c052", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, EPERM },
	{ "c055", AF_INET, SOCK_DGRAM, 115, EPERM },
	{ "c056", AF_INET, SOCK_STREAM, IPPROTO_SCTP, EPERM },
	{ "c057", AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP, EPERM },
	{ "c058", AF_INET6, SOCK_STREAM, IPPROTO_SCTP, EPERM },
	{ "c059", AF_INET, SOCK_DCCP, IPPROTO_DCCP, EPERM },
	{ "c060", AF_INET, SOCK_STREAM, 262, EPERM },
	{ "c061", AF_INET, SOCK_STREAM, 256, EPERM },
	{ "c066", AF_INET, SOCK_PACKET, 0x300, EPERM },
	{ "c069", AF_INET, SOCK_RAW, IPPROTO_TCP, EPERM },
	{ "c070", AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP, EPERM },
	{ "c076", AF_XDP, SOCK_RAW, 0, EPERM },
	{ "c079", 40, ANY_TYPE, 0, EPERM },
	{ "c080", 38, ANY_TYPE, 0, EPERM },
	{ "c082", 15, ANY_TYPE, 0, EPERM },
	{ "c083", 31, ANY_TYPE, 0, EPERM },
	{ "c084", 29, ANY_TYPE, 0, EPERM },
	{ "c085", 30, ANY_TYPE, 0, EPERM },
	{ "c087", 33, ANY_TYPE, 0, EPERM },
	{ "c088", 41, ANY_TYPE, 0, EPERM },
	{ "c091", 24, ANY_TYPE, 0, EPERM },
	{ "c092", 26, ANY_TYPE, 0, EPERM },
	{ "c093", 28, ANY_TYPE, 0, EPERM },
	{ "c095", 36, ANY_TYPE, 0, EPERM },
	{ "c098", 3, ANY_TYPE, 0, EPERM },
	{ "c099", 4, ANY_TYPE, 0, EPERM },
	{ "c102", 34, ANY_TYPE, 0, EPERM },
	{ "c104", 0, ANY_TYPE, 0, EPERM },
	{ "c105", 46, ANY_TYPE, 0, EPERM },
};

static int errno_of(long result)
{
	int errnum = result < 0 ? errno : 0;
	if (result >= 0)
		close((int) result);
	return errnum;
}

static void live_row(const struct row *row)
{
	for (int type = 1; type < 16; type++) {
		int t = row->type == ANY_TYPE ? type : row->type;
		int errnum = errno_of(syscall(SYS_socket, row->family, t, row->protocol));
		if (errnum != row->errnum) {
			print_message("%s: socket(%d, %d, %d): %s\n", row->id, row->family, t, row->protocol,
				strerror(errnum));
			_exit(1);
		}
		if (row->type != ANY_TYPE)
			return;
	}
}

static void live_expect(const char *what, long result, int errnum)
{
	int got = errno_of(result);
	if (got != errnum) {
		print_message("%s: %s\n", what, strerror(got));
		_exit(1);
	}
}

static void live_rest(void)
{
	int pair[2];
	live_expect("c108 socketpair inet", socketpair(AF_INET, SOCK_STREAM, 0, pair), EPERM);
	live_expect("socketpair unix", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	live_expect("c106 vsock, high bits", syscall(SYS_socket, (1UL << 32) | 40, SOCK_STREAM, 0), EPERM);
	live_expect("packet, high bits", syscall(SYS_socket, (1UL << 32) | 17, SOCK_RAW, 0), EPERM);
	live_expect("inet dgram, high bits", syscall(SYS_socket, (1UL << 32) | 2, SOCK_DGRAM, 0), EPERM);
	live_expect("inet raw, high bits", syscall(SYS_socket, 2, (1UL << 32) | SOCK_RAW, 1), EPERM);
	live_expect("inet MPTCP, high bits", syscall(SYS_socket, 2, SOCK_STREAM, (1UL << 32) | 262), EPERM);

	char params[256] = { 0 };
	live_expect("c113, c116 io_uring_setup", syscall(425, 8, params), ENOSYS);
	live_expect("c114 io_uring_enter", syscall(426, 0, 0, 0, 0, NULL, 0), ENOSYS);
	live_expect("c115 io_uring_register", syscall(427, 0, 0, NULL, 0), ENOSYS);

	(void) personality(PER_LINUX32);
	live_expect("c125 personality", syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0), EPERM);

	/* Filters only tighten: one that allows all changes nothing (c145). */
	struct sock_filter f[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog all = { .len = 1, .filter = f };
	live_expect("c145 a filter of one's own", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all), 0);
	live_expect("c145 and then", syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0), EPERM);
#if defined(__x86_64__)
	live_expect("c118 x32", syscall(0x40000000 | 41, AF_INET, SOCK_DGRAM, 0), ENOSYS);
	live_expect("x32 getpid", syscall(0x40000000 | 39), ENOSYS);
#endif
}

/* In a child, with the filter on: 0 when all is as it should be. */
static int live(void (*body)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void) signal(SIGSEGV, SIG_DFL); /* cmocka's handler would make it a failure of the test's */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
			_exit(2);
		body();
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void live_rows(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		live_row(&rows[i]);
}

static void test_live(void **state)
{
	(void) state;
	assert_int_equal(live(live_rows), 0);
	assert_int_equal(live(live_rest), 0);
}

#if defined(__x86_64__)
static long int80(long nr, long a, long b, long c)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	errno = (int) r < 0 ? -(int) r : 0;
	return (int) r < 0 ? -1 : (int) r;
}

static void i386_probe(void)
{
	(void) int80(20, 0, 0, 0);
}

static void i386_body(void)
{
	unsigned *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (args == MAP_FAILED)
		_exit(3);
	args[0] = AF_PACKET;
	args[1] = SOCK_RAW;
	live_expect("c119 i386 socketcall", int80(102, 1, (long) args, 0), ENOSYS);
	live_expect("i386 socket inet stream", int80(359, AF_INET, SOCK_STREAM, 0), 0);
	live_expect("i386 socket inet dgram", int80(359, AF_INET, SOCK_DGRAM, 0), EPERM);
	live_expect("i386 socket packet", int80(359, AF_PACKET, SOCK_RAW, 0), EPERM);
	live_expect("i386 io_uring_setup", int80(425, 8, 0, 0), ENOSYS);
}

static void test_i386(void **state)
{
	(void) state;
	if (live(i386_probe) != 0) { /* ia32_emulation=0: the instruction faults */
		print_message("this machine makes no 32-bit system calls\n");
		skip();
	}
	assert_int_equal(live(i386_body), 0);
}
#endif

/* --- every row of the corpus has its answer --- */

static bool is_covered(const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].id, id) == 0)
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
		if (strcmp(not_ours[i], id) == 0)
			return true;
	}
	/* live_rest() and test_i386() */
	static const char *const rest[] = { "c106", "c113", "c114", "c115", "c116", "c118", "c119", "c125" };
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
		if (strcmp(rest[i], id) == 0)
			return true;
	}
	return false;
}

static void test_corpus(void **state)
{
	(void) state;
	const char *path = getenv("SYSCALLS");
	assert_non_null(path);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	_cleanup_free_ char *line = NULL;
	size_t size = 0, n = 0;
	while (getline(&line, &size, f) > 0) {
		char id[16];
		if (!strstr(line, "\"layer\": \"seccomp") || sscanf(line, "{\"id\": \"%15[^\"]\"", id) != 1)
			continue;
		n++;
		if (!is_covered(id))
			fail_msg("row %s has no test", id);
	}
	(void) fclose(f);
	assert_true(n > 40);
}

static int set_up(void **state)
{
	(void) state;
	struct error err = { 0 };
	if (seccomp_filter_get(&filter, &err) == 0)
		return 0;
	print_message("%s\n", err.msg);
	return -1;
}

static int tear_down(void **state)
{
	(void) state;
	seccomp_filter_free(&filter);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_socket),
		cmocka_unit_test(test_check_notices),
		cmocka_unit_test(test_check_notices_comparisons),
		cmocka_unit_test(test_check_takes_anything),
		cmocka_unit_test(test_live),
#if defined(__x86_64__)
		cmocka_unit_test(test_i386),
#endif
		cmocka_unit_test(test_corpus),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
