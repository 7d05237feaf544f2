/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

static_assert(sizeof(struct control_status) <= CONTROL_TEXT_SIZE, "an answer has one size");

/* connect(2) to a unix socket waits where the backlog is full, for as long as SO_SNDTIMEO says: unix(7). */
#define CONNECT_TIMEOUT_S 5

bool control_id_valid(const char *id)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t len = strnlen(id, CONTROL_ID_MAX + 1);
	return len > 0 && len <= CONTROL_ID_MAX && strchr(alnum, id[0]) &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") == len &&
	       !strstr(id, "..");
}

int control_connect(int dir, const char *key, int *ret_sock, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	/* By way of the descriptor: a run directory's path may be longer than sun_path. */
	int len = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s.sock", dir, key);
	if (len < 0 || (size_t) len >= sizeof(sa.sun_path))
		return error_say(err, ENAMETOOLONG, "control socket of %s: name too long", key);

	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_set(err, errno, "socket");
	struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return error_set(err, errno, "SO_SNDTIMEO");
	if (connect(sock, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
		return error_set(err, errno, "connect to keeper %s", key);
	*ret_sock = TAKE_FD(sock);
	return 0;
}

static int control_gone(struct error *err)
{
	return error_say(err, ECONNRESET, "the keeper has ended");
}

static int control_send(
	int sock, const struct control_message *message, const int *fds, size_t n_fds, struct error *err)
{
	int r = io_send(sock, message, sizeof(*message), fds, n_fds);
	if (r == -EPIPE || r == -ECONNRESET)
		return control_gone(err);
	return r < 0 ? error_set(err, -r, "send to keeper") : 0;
}

static int control_wait(int sock, int timeout_ms, struct error *err)
{
	int64_t end = clock_now_ms() + timeout_ms;
	for (;;) {
		int64_t left = end - clock_now_ms();
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		int n = poll(&pfd, 1, left > 0 ? (int) left : 0);
		if (n > 0)
			return 0;
		if (n == 0)
			return error_say(err, ETIMEDOUT, "no answer from the keeper within %d ms", timeout_ms);
		if (errno != EINTR)
			return error_set(err, errno, "poll");
	}
}

/* The keeper's error, in its words. */
static int control_error(const struct control_message *message, struct error *err)
{
	int errnum = message->code < 0 && message->code > -4096 ? -message->code : EPROTO;
	int r = error_say(err, errnum, "%.*s", (int) strnlen(message->text, sizeof(message->text)), message->text);
	if (message->closed)
		(void) error_close(err);
	return r;
}

static int control_expect(
	int sock, enum control_type type, int timeout_ms, struct control_message *ret, struct error *err)
{
	int r = control_wait(sock, timeout_ms, err);
	if (r < 0)
		return r;

	int fds[IO_FDS_MAX];
	size_t n_fds = 0;
	ssize_t n = io_recv(sock, ret, sizeof(*ret), fds, &n_fds);
	if (n == 0 || n == -ECONNRESET)
		return control_gone(err);
	if (n < 0)
		return error_set(err, (int) -n, "receive from keeper");
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (n != sizeof(*ret))
		return error_say(err, EPROTO, "the keeper's answer has %zd bytes, expected %zu", n, sizeof(*ret));
	if (ret->type == CONTROL_ERROR)
		return control_error(ret, err);
	if (ret->type != (uint32_t) type)
		return error_say(err, EPROTO, "the keeper's answer is of type %u, expected %u", ret->type, type);
	return 0;
}

static int control_ask(int sock, struct control_message *message, const int *fds, size_t n_fds,
	enum control_type answer, int timeout_ms, struct error *err)
{
	int r = control_send(sock, message, fds, n_fds, err);
	return r < 0 ? r : control_expect(sock, answer, timeout_ms, message, err);
}

static int control_set_id(struct control_message *message, const char *id, struct error *err)
{
	if (!control_id_valid(id))
		return error_say(err, EINVAL, "not a container's id");
	memcpy(message->text, id, strlen(id) + 1);
	return 0;
}

int control_listen(int sock, int listener, struct error *err)
{
	struct control_message message = { .type = CONTROL_LISTEN };
	return control_send(sock, &message, &listener, 1, err);
}

int control_join(
	int sock, const char *id, int pidfd, int image, int timeout_ms, bool *ret_other_gate, struct error *err)
{
	struct control_message message = { .type = CONTROL_JOIN };
	int r = control_set_id(&message, id, err);
	if (r < 0)
		return r;
	r = control_ask(sock, &message, (const int[]){ pidfd, image }, 2, CONTROL_OK, timeout_ms, err);
	if (r == 0)
		*ret_other_gate = message.value != 0;
	return r;
}

int control_probe(int sock, uint16_t source_port, int timeout_ms, struct error *err)
{
	struct control_message message = { .type = CONTROL_PROBE, .value = source_port };
	return control_ask(sock, &message, NULL, 0, CONTROL_OK, timeout_ms, err);
}

int control_wait_ready(int sock, int timeout_ms, struct error *err)
{
	struct control_message message;
	return control_expect(sock, CONTROL_READY, timeout_ms, &message, err);
}

int control_commit(int sock, int timeout_ms, struct error *err)
{
	struct control_message message = { .type = CONTROL_COMMIT };
	return control_ask(sock, &message, NULL, 0, CONTROL_OK, timeout_ms, err);
}

int control_leave(int sock, const char *id, int timeout_ms, struct error *err)
{
	struct control_message message = { .type = CONTROL_LEAVE };
	int r = control_set_id(&message, id, err);
	return r < 0 ? r : control_ask(sock, &message, NULL, 0, CONTROL_OK, timeout_ms, err);
}

int control_status(int sock, int timeout_ms, struct control_status *ret, struct error *err)
{
	struct control_message message = { .type = CONTROL_STATUS };
	int r = control_ask(sock, &message, NULL, 0, CONTROL_STATUS, timeout_ms, err);
	if (r == 0)
		*ret = message.status;
	return r;
}

int control_reload(int sock, int timeout_ms, bool *ret_changed, struct error *err)
{
	struct control_message message = { .type = CONTROL_RELOAD };
	int r = control_ask(sock, &message, NULL, 0, CONTROL_RELOADED, timeout_ms, err);
	if (r == 0)
		*ret_changed = message.value != 0;
	return r;
}

int control_restart(int sock, int program, int timeout_ms, struct error *err)
{
	struct control_message message = { .type = CONTROL_RESTART };
	return control_ask(sock, &message, &program, 1, CONTROL_OK, timeout_ms, err);
}

/* How many descriptors a request brings, or -1: it is none. */
static int control_request_fds(const struct control_message *message)
{
	switch (message->type) {
	case CONTROL_JOIN:
		return control_id_valid(message->text) ? 2 : -1;
	case CONTROL_LEAVE:
		return control_id_valid(message->text) ? 0 : -1;
	case CONTROL_LISTEN:
	case CONTROL_RESTART:
		return 1;
	case CONTROL_PROBE:
		return message->value >= 1 && message->value <= UINT16_MAX ? 0 : -1;
	case CONTROL_COMMIT:
	case CONTROL_STATUS:
	case CONTROL_RELOAD:
		return 0;
	default:
		return -1;
	}
}

int control_receive(int sock, struct control_message *ret, int *fds, size_t *ret_n)
{
	struct control_message message;
	size_t n_fds = 0;
	ssize_t n = io_recv(sock, &message, sizeof(message), fds, &n_fds);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == 0 || (n < 0 && n != -EMSGSIZE))
		return -ECONNRESET;
	if (n != sizeof(message) || control_request_fds(&message) != (int) n_fds) {
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
		return -EPROTO;
	}
	*ret = message;
	*ret_n = n_fds;
	return 0;
}

int control_answer(int sock, enum control_type type)
{
	struct control_message message = { .type = type };
	return io_send(sock, &message, sizeof(message), NULL, 0);
}

int control_answer_join(int sock, bool other_gate)
{
	struct control_message message = { .type = CONTROL_OK, .value = other_gate };
	return io_send(sock, &message, sizeof(message), NULL, 0);
}

int control_answer_error(int sock, const struct error *err)
{
	struct control_message message = { .type = CONTROL_ERROR, .code = err->code, .closed = err->closed };
	(void) snprintf(message.text, sizeof(message.text), "%.*s", (int) sizeof(message.text) - 1, err->msg);
	return io_send(sock, &message, sizeof(message), NULL, 0);
}

int control_answer_reloaded(int sock, bool changed)
{
	struct control_message message = { .type = CONTROL_RELOADED, .value = changed };
	return io_send(sock, &message, sizeof(message), NULL, 0);
}

int control_answer_status(int sock, const struct control_status *status)
{
	struct control_message message = { .type = CONTROL_STATUS };
	message.status = *status;
	return io_send(sock, &message, sizeof(message), NULL, 0);
}
