/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A direction, in the order that flow_step() looks:
 *
 * state                                   moves when           by
 * ended, shut                             never
 * held > 0: bytes in the pipe             target writable      flow_drain()
 * held == 0                               source readable      flow_fill()
 *
 * Bytes are taken only into an empty pipe, so EAGAIN from the source means that the source has none (never that the
 * pipe is full), and `held` is the only count. Interest is edge-triggered and registered once: what a direction waits
 * for follows from the table, and costs no epoll_ctl(2).
 */
#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MOVES_PER_TURN 16
#define COPY_MAX (16 << 10)

enum step {
	STEP_MOVED,
	STEP_WAITS,
};

static void socket_init(struct relay_socket *sock, int fd)
{
	/* edges before the tunnel are gone, so believe the best: the first EAGAIN corrects it */
	*sock = (struct relay_socket){ .fd = fd, .readable = true, .writable = true, .urgent = true };
	/* urgent data (tcp(7)) stops splice(2) in front of it; in line, recv(2) takes it for a byte like any other */
	int on = 1;
	(void) setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

void relay_init(struct relay *relay, int client, int origin)
{
	*relay = (struct relay){ 0 };
	socket_init(&relay->sockets[RELAY_CLIENT], client);
	socket_init(&relay->sockets[RELAY_ORIGIN], origin);
	for (int i = 0; i < RELAY_ENDS; i++)
		relay->flows[i].pipe = (struct pipe_pair){ .read_fd = -1, .write_fd = -1 };
}

static enum relay_end other(enum relay_end end)
{
	return end == RELAY_CLIENT ? RELAY_ORIGIN : RELAY_CLIENT;
}

static void note_reset(struct relay *relay, enum relay_end end)
{
	if (!relay->was_reset)
		relay->reset = end;
	relay->was_reset = true;
}

/* A reset after the end of file reaches nobody who reads: the error that the event announces is fetched here. */
static void note_late_reset(struct relay *relay, enum relay_end end)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(relay->sockets[end].fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return;
	note_reset(relay, end);
	relay->flows[other(end)].ended = true;
}

void relay_note(struct relay *relay, enum relay_end end, uint32_t events)
{
	struct relay_socket *sock = &relay->sockets[end];
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		sock->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		sock->writable = true;
	if (events & EPOLLPRI)
		sock->urgent = true;
	if ((events & EPOLLERR) && relay->flows[end].ended)
		note_late_reset(relay, end);
}

/* The source's reset: nothing more comes from it, and nobody is there for what goes to it. */
static enum step source_failed(struct relay *relay, enum relay_end from)
{
	note_reset(relay, from);
	relay->flows[RELAY_CLIENT].ended = relay->flows[RELAY_ORIGIN].ended = true;
	return STEP_MOVED;
}

/* The target takes nothing more, but may have sent something that is still to be passed on. */
static enum step target_failed(struct relay *relay, enum relay_end from)
{
	note_reset(relay, other(from));
	relay->flows[from].ended = true;
	return STEP_MOVED;
}

static enum step would_block(bool *ready)
{
	*ready = false;
	return STEP_WAITS;
}

static enum step flow_drain(struct relay *relay, enum relay_end from, struct pipes *pipes)
{
	struct relay_flow *flow = &relay->flows[from];
	struct relay_socket *target = &relay->sockets[other(from)];

	ssize_t n = splice(flow->pipe.read_fd, NULL, target->fd, NULL, flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EAGAIN)
		return would_block(&target->writable);
	if (n < 0 && errno == EINTR)
		return STEP_MOVED;
	if (n <= 0)
		return target_failed(relay, from);
	flow->held -= (uint32_t) n;
	flow->bytes += (uint64_t) n;
	if (flow->held == 0)
		pipes_give(pipes, &flow->pipe, true);
	return STEP_MOVED;
}

/*
 * Moves bytes without a pipe: for want of one, and past urgent data. They leave the source's queue only when the target
 * has them, so nothing is held here. The one place that sees the source's end of file.
 */
static enum step flow_copy(struct relay *relay, enum relay_end from, size_t most)
{
	struct relay_flow *flow = &relay->flows[from];
	struct relay_socket *source = &relay->sockets[from], *target = &relay->sockets[other(from)];
	char bytes[COPY_MAX];

	ssize_t got = recv(source->fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes), MSG_PEEK);
	if (got < 0)
		return errno == EAGAIN ? would_block(&source->readable) : source_failed(relay, from);
	if (got == 0) {
		source->readable = false;
		flow->ended = true;
		(void) shutdown(target->fd, SHUT_WR); /* fails only where the target is gone, which is seen there */
		return STEP_MOVED;
	}
	ssize_t sent = send(target->fd, bytes, (size_t) got, MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN ? would_block(&target->writable) : target_failed(relay, from);
	flow->bytes += (uint64_t) sent;
	if (recv(source->fd, bytes, (size_t) sent, MSG_TRUNC) != sent)
		return source_failed(relay, from);
	return STEP_MOVED;
}

/* splice(2) found nothing that it could take: not the same as nothing, in front of urgent data. */
static enum step source_is_empty(struct relay *relay, enum relay_end from, size_t most)
{
	struct relay_socket *source = &relay->sockets[from];
	if (!source->urgent)
		return would_block(&source->readable);
	enum step step = flow_copy(relay, from, most);
	if (step == STEP_MOVED || !source->readable)
		source->urgent = false;
	return step;
}

static enum step flow_fill(struct relay *relay, enum relay_end from, struct pipes *pipes, size_t most)
{
	struct relay_flow *flow = &relay->flows[from];

	if (!pipes_take(pipes, &flow->pipe))
		return flow_copy(relay, from, most);
	ssize_t n = splice(relay->sockets[from].fd, NULL, flow->pipe.write_fd, NULL,
		most < PIPES_BYTES ? most : PIPES_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		flow->held = (uint32_t) n;
		return STEP_MOVED;
	}
	int error = errno;
	pipes_give(pipes, &flow->pipe, true);
	if (n == 0)
		return flow_copy(relay, from, most); /* the end of file, or urgent data: kernels differ */
	if (error == EAGAIN)
		return source_is_empty(relay, from, most);
	return error == EINTR ? STEP_MOVED : source_failed(relay, from);
}

/* A fill, as leave permits: NULL is all. */
static enum step flow_take(struct relay *relay, enum relay_end from, struct pipes *pipes, struct relay_leave *leave)
{
	const struct relay_flow *flow = &relay->flows[from];
	if (!leave)
		return flow_fill(relay, from, pipes, SIZE_MAX);
	if (leave->bytes[from] == 0) {
		leave->wanted[from] = true;
		return STEP_WAITS;
	}
	uint64_t before = flow->bytes + flow->held;
	enum step step = flow_fill(relay, from, pipes, leave->bytes[from]);
	leave->bytes[from] -= (uint32_t) (flow->bytes + flow->held - before);
	return step;
}

static enum step flow_step(struct relay *relay, enum relay_end from, struct pipes *pipes, struct relay_leave *leave)
{
	const struct relay_flow *flow = &relay->flows[from];
	if (flow->ended || flow->shut)
		return STEP_WAITS;
	if (!relay->sockets[other(from)].writable)
		return STEP_WAITS; /* what is not taken stays in the source's queue, where it slows the sender */
	if (flow->held > 0)
		return flow_drain(relay, from, pipes);
	return relay->sockets[from].readable ? flow_take(relay, from, pipes, leave) : STEP_WAITS;
}

/* Returns whether the turn was used up before there was nothing left to do. */
static bool flow_run(struct relay *relay, enum relay_end from, struct pipes *pipes, struct relay_leave *leave)
{
	for (int i = 0; i < MOVES_PER_TURN; i++)
		if (flow_step(relay, from, pipes, leave) == STEP_WAITS)
			return false;
	return true;
}

enum relay_status relay_run(struct relay *relay, struct pipes *pipes, struct relay_leave *leave)
{
	bool up = flow_run(relay, RELAY_CLIENT, pipes, leave);
	bool down = flow_run(relay, RELAY_ORIGIN, pipes, leave);

	if (relay->flows[RELAY_CLIENT].ended && relay->flows[RELAY_ORIGIN].ended)
		return relay->was_reset ? RELAY_RESET : RELAY_ENDED;
	return up || down ? RELAY_GOES_ON : RELAY_WAITS;
}

void relay_finish(struct relay *relay, struct pipes *pipes)
{
	for (int i = 0; i < RELAY_ENDS; i++)
		pipes_give(pipes, &relay->flows[i].pipe, relay->flows[i].held == 0);
}
