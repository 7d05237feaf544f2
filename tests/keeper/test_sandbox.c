/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandboxed process can no longer do: each attempt in a child of its own. As root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/sandbox.h"
#include "proxy/worker.h"

#define SETUP_FAILED 254
#define FILE_SIZE 4096

/* Each returns 0 where it succeeded, else errno. */
static int attempt_read(void)
{
	int ends[2];
	char c;
	return pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], &c, 1) == 1 ? 0 : errno;
}

static int attempt_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

static int attempt_udp6(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0) < 0 ? errno : 0;
}

static int attempt_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int attempt_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? errno : 0;
}

static int attempt_raw(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? errno : 0;
}

/* The kernel takes the low half of an argument only: a high half must not hide a family. */
static int attempt_unix_in_disguise(void)
{
	return syscall(SYS_socket, (UINT64_C(1) << 32) | AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int attempt_open(void)
{
	return open("/", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int attempt_stat(void)
{
	struct stat st;
	return stat("/", &st) < 0 ? errno : 0;
}

static int attempt_write_beyond(void)
{
	static char bytes[FILE_SIZE + 1];
	(void) signal(SIGXFSZ, SIG_IGN);
	ssize_t n = write(4, bytes, sizeof(bytes));
	if (n == FILE_SIZE)
		n = write(4, bytes, 1);
	return n < 0 ? errno : 0;
}

static int attempt_overwrite(void)
{
	return lseek(4, 0, SEEK_SET) < 0 ? errno : 0;
}

static int attempt_not_append(void)
{
	return fcntl(4, F_SETFL, O_WRONLY) < 0 ? errno : 0;
}

/* A descriptor sent to the keeper, over what stands for the channel. */
static int attempt_send_descriptor(void)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	return sendmsg(5, &msg, 0) < 0 ? errno : 0;
}

static int attempt_send_descriptors(void)
{
	struct mmsghdr msg = { 0 };
	return sendmmsg(5, &msg, 1, 0) < 0 ? errno : 0;
}

static int attempt_send(void)
{
	return send(5, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
}

static int set_option(int level, int name)
{
	struct linger value = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? errno : 0;
}

static int attempt_linger(void)
{
	return set_option(SOL_SOCKET, SO_LINGER);
}

static int attempt_nodelay(void)
{
	return set_option(IPPROTO_TCP, TCP_NODELAY);
}

static int attempt_send_buffer(void)
{
	return set_option(SOL_SOCKET, SO_SNDBUF);
}

/* The number of SO_LINGER, at another level. */
static int attempt_congestion(void)
{
	return set_option(IPPROTO_TCP, SO_LINGER);
}

static int attempt_get_error(void)
{
	int value;
	socklen_t len = sizeof(value);
	return getsockopt(5, SOL_SOCKET, SO_ERROR, &value, &len) < 0 ? errno : 0;
}

static int attempt_get_credentials(void)
{
	struct ucred value;
	socklen_t len = sizeof(value);
	return getsockopt(5, SOL_SOCKET, SO_PEERCRED, &value, &len) < 0 ? errno : 0;
}

#if !defined(__SANITIZE_ADDRESS__)
static int attempt_much_memory(void)
{
	return malloc(SANDBOX_MEMORY_MAX) ? 0 : errno;
}
#endif

static int attempt_many_descriptors(void)
{
	int fd = 0;
	for (int i = 0; i < 1000 && fd >= 0; i++)
		fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 ? errno : 0;
}

static int attempt_fork(void)
{
	return fork() < 0 ? errno : 0;
}

static int attempt_exec(void)
{
	return execl("/bin/true", "true", (char *) NULL) < 0 ? errno : 0;
}

static int attempt_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
}

static int attempt_kill(void)
{
	return syscall(SYS_kill, getpid(), 0) < 0 ? errno : 0;
}

static int attempt_bind(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0 ? errno : 0;
}

static int attempt_setuid(void)
{
	return setuid(0) < 0 ? errno : 0;
}

static int attempt_chroot(void)
{
	return chroot(".") < 0 ? errno : 0;
}

static int attempt_unshare(void)
{
	return syscall(SYS_unshare, 0) < 0 ? errno : 0;
}

static int attempt_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? errno : 0;
}

static int attempt_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) < 0 ? errno : 0;
}

#if !defined(__SANITIZE_ADDRESS__)
static int attempt_exec_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
#endif

#if defined(__x86_64__)
static int attempt_x32(void)
{
	return syscall(0x40000000 | SYS_getpid) < 0 ? errno : 0;
}

/* int 0x80: the i386 ABI's getpid, 20. */
static int attempt_i386(void)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	return r < 0 ? (int) -r : 0;
}
#endif

struct attempt {
	const char *name;
	int (*run)(void);
	int expect;  /* errno; 0: succeeds; -SIGSYS: killed */
	int or_this; /* as well: what a kernel without the call does */
};

static const struct attempt attempts[] = {
	{ "read and write a pipe", attempt_read, 0, 0 },
	{ "TCP socket", attempt_tcp, 0, 0 },
	{ "UDP socket over IPv6", attempt_udp6, 0, 0 },
	{ "unix socket", attempt_unix, EAFNOSUPPORT, 0 },
	{ "unix socket, high half set", attempt_unix_in_disguise, EAFNOSUPPORT, 0 },
	{ "netlink socket", attempt_netlink, EAFNOSUPPORT, 0 },
	{ "raw socket", attempt_raw, EPROTONOSUPPORT, 0 },
	{ "open /", attempt_open, ENOENT, 0 },
	{ "stat /", attempt_stat, ENOENT, 0 },
	{ "write beyond RLIMIT_FSIZE", attempt_write_beyond, EFBIG, 0 },
	{ "overwrite a log", attempt_overwrite, ESPIPE, 0 },
	{ "take O_APPEND off a log", attempt_not_append, EINVAL, 0 },
	{ "send", attempt_send, 0, 0 },
	{ "send a descriptor", attempt_send_descriptor, -SIGSYS, 0 },
	{ "sendmmsg", attempt_send_descriptors, -SIGSYS, 0 },
	{ "SO_LINGER", attempt_linger, 0, 0 },
	{ "TCP_NODELAY", attempt_nodelay, 0, 0 },
	{ "SO_SNDBUF", attempt_send_buffer, ENOPROTOOPT, 0 },
	{ "TCP_CONGESTION", attempt_congestion, ENOPROTOOPT, 0 },
	{ "SO_ERROR", attempt_get_error, 0, 0 },
	{ "SO_PEERCRED", attempt_get_credentials, ENOPROTOOPT, 0 },
#if !defined(__SANITIZE_ADDRESS__)
	{ "memory beyond RLIMIT_DATA", attempt_much_memory, ENOMEM, 0 },
#endif
	{ "descriptors beyond RLIMIT_NOFILE", attempt_many_descriptors, EMFILE, 0 },
	{ "fork", attempt_fork, -SIGSYS, 0 },
	{ "execve", attempt_exec, -SIGSYS, 0 },
	{ "ptrace", attempt_ptrace, -SIGSYS, 0 },
	{ "kill", attempt_kill, -SIGSYS, 0 },
	{ "bind", attempt_bind, -SIGSYS, 0 },
	{ "setuid", attempt_setuid, -SIGSYS, 0 },
	{ "chroot", attempt_chroot, -SIGSYS, 0 },
	{ "unshare", attempt_unshare, -SIGSYS, 0 },
	{ "io_uring", attempt_io_uring, -SIGSYS, 0 },
	{ "bpf", attempt_bpf, -SIGSYS, 0 },
#if !defined(__SANITIZE_ADDRESS__)
	{ "executable memory", attempt_exec_memory, -SIGSYS, 0 },
#endif
#if defined(__x86_64__)
	{ "x32", attempt_x32, -SIGSYS, 0 },
	{ "i386", attempt_i386, -SIGSYS, -SIGSEGV },
#endif
};

/* Descriptor 4 is a file to write to, 5 an end of a channel. */
static void enter(uint32_t uid)
{
	char dir[] = "/tmp/test_sandbox.XXXXXX";
	int root = mkdtemp(dir) ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int file = memfd_create("file", MFD_CLOEXEC);
	if (root < 0 || file < 0 || rmdir(dir) < 0)
		_exit(SETUP_FAILED);
	root = fcntl(root, F_DUPFD_CLOEXEC, 10);
	int ends[2];
	if (dup2(file, 4) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
		dup2(ends[0], 5) < 0 || fcntl(ends[1], F_DUPFD_CLOEXEC, 10) < 0)
		_exit(SETUP_FAILED);

	const struct sandbox sandbox = { .root = root, .uid = uid, .descriptors = 64, .file_size = FILE_SIZE };
	struct error err;
	if (sandbox_enter(&sandbox, &err) < 0) {
		(void) fprintf(stderr, "%s\n", err.msg);
		_exit(SETUP_FAILED);
	}
}

static int run(const struct attempt *attempt)
{
	uint32_t uid = WORKER_UID_BASE + (uint32_t) getpid();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void) signal(SIGSEGV, SIG_DFL); /* cmocka's */
		(void) setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		enter(uid);
		syscall(SYS_exit_group, attempt->run());
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_attempts(void **state)
{
	(void) state;
	int wrong = 0;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		int got = run(&attempts[i]);
		if (got == attempts[i].expect || (attempts[i].or_this && got == attempts[i].or_this))
			continue;
		print_error("%s: %d (%s), expected %d\n", attempts[i].name, got, got > 0 ? strerror(got) : "",
			attempts[i].expect);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* The uid says whose worker it is; a process that is not that keeper's child has lost its keeper. */
static void test_keeper_gone(void **state)
{
	(void) state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		enter(WORKER_UID_BASE + 1);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SETUP_FAILED);
}

int main(void)
{
	if (geteuid() != 0)
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_keeper_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
