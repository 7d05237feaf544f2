/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"

#define READ_CHUNK 16384

#define NO_DEADLINE INT64_MAX

/* Until there is something to read, or the end. */
static int io_await(int fd, int64_t deadline, struct error *err)
{
	while (deadline != NO_DEADLINE) {
		int64_t left = deadline - clock_now_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int r = left <= 0 ? 0 : poll(&p, 1, (int) left);
		if (r > 0)
			break;
		if (r == 0)
			return error_say(err, ETIMEDOUT, "its end has not come");
		if (errno != EINTR)
			return error_set(err, errno, "poll");
	}
	return 0;
}

/* As read(2), but for interruptions. */
static ssize_t io_read(int fd, void *bytes, size_t size, int64_t deadline, struct error *err)
{
	for (;;) {
		int r = io_await(fd, deadline, err);
		if (r < 0)
			return r;
		ssize_t n = read(fd, bytes, size);
		if (n >= 0)
			return n;
		if (errno != EINTR)
			return error_set(err, errno, "read");
	}
}

static int io_drain(int fd, int64_t deadline, struct error *err)
{
	char chunk[READ_CHUNK];
	ssize_t n;
	do
		n = io_read(fd, chunk, sizeof(chunk), deadline, err);
	while (n > 0);
	return (int) n;
}

/* How much room to begin with: a file says how long it is, mostly. */
static size_t io_room(int fd, size_t max)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t) st.st_size > max)
		return 4 * READ_CHUNK;
	return (size_t) st.st_size + 2 * READ_CHUNK;
}

static int io_read_all_by(int fd, size_t max, int64_t deadline, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		if (size - len < READ_CHUNK) {
			size = size ? size * 2 : io_room(fd, max);
			char *more = realloc(text, size + 1);
			if (!more)
				return error_set(err, ENOMEM, "read");
			text = more;
			memory_fill_soon(text, size);
		}
		ssize_t n = io_read(fd, text + len, size - len, deadline, err);
		if (n < 0)
			return (int) n;
		if (n == 0)
			break;
		len += (size_t) n;
		if (len > max) {
			int r = io_drain(fd, deadline, err);
			return r < 0 ? r : error_say(err, EFBIG, "longer than %zu bytes", max);
		}
	}
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int io_read_all(int fd, size_t max, char **ret_text, size_t *ret_len, struct error *err)
{
	return io_read_all_by(fd, max, NO_DEADLINE, ret_text, ret_len, err);
}

int io_read_all_within(int fd, size_t max, int timeout_ms, char **ret_text, size_t *ret_len, struct error *err)
{
	return io_read_all_by(fd, max, clock_now_ms() + timeout_ms, ret_text, ret_len, err);
}

int io_write_all(int fd, const void *bytes, size_t len, struct error *err)
{
	const char *p = bytes;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return error_set(err, errno, "write");
		}
		p += n;
		len -= (size_t) n;
	}
	return 0;
}

int io_memfd(const char *name, const void *bytes, size_t len, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set(err, errno, "memfd_create");
	int r = io_write_all(fd, bytes, len, err);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return error_set(err, errno, "seal memfd %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int io_map_sealed(int fd, size_t max, const void **ret_map, size_t *ret_len, struct error *err)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
		return error_say(err, EPERM, "not a sealed memfd");

	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "fstat");
	if (st.st_size <= 0 || (size_t) st.st_size > max)
		return error_say(err, EFBIG, "%lld bytes, expected 1 to %zu", (long long) st.st_size, max);

	void *map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, errno, "mmap");
	*ret_map = map;
	*ret_len = (size_t) st.st_size;
	return 0;
}

union control_room {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(IO_FDS_MAX * sizeof(int))];
};

int io_send(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	if (n_fds > IO_FDS_MAX)
		return -EINVAL;

	struct iovec iov = { .iov_base = (void *) (size_t) bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control_room control = { 0 };
	if (n_fds > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(sock, &msg, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

ssize_t io_recv(int sock, void *bytes, size_t size, int *fds, size_t *ret_n)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	union control_room control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	do {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	size_t n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + n_fds, CMSG_DATA(c), got * sizeof(int));
		n_fds += got; /* cannot pass IO_FDS_MAX: control has room for no more */
	}
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		close_all(fds, n_fds);
		return -EMSGSIZE;
	}
	*ret_n = n_fds;
	return n;
}
