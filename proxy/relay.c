/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A direction, in the order that flow_step() looks:
 *
 * state                                     moves when           by
 * ended, shut                               never
 * held > 0: bytes in the pipe, or parked    target writable      flow_drain()
 * held == 0                                 source readable      flow_fill(): flow_copy(), or flow_splice() where bulk
 *
 * Small pieces are read(2) and written through one buffer that all share: an idle tunnel has no memory and no pipe. A
 * direction that fills the buffer at once is bulk, and is spliced until pieces are small again.
 *
 * Bytes are taken only where none are held, so EAGAIN from the source means that the source has none (never that the
 * pipe is full), and `held` is the only count. Interest is edge-triggered and registered once: what a direction waits
 * for follows from the table, and costs no epoll_ctl(2).
 */
#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MOVES_PER_TURN 16
#define BYTES_PER_TURN (1u << 20)
#define COPY_BYTES (32u << 10)
#define SMALL_BYTES (16u << 10)
#define SMALL_ONES 8 /* in a row, and it is bulk no more */

/* What a target did not take of a copied piece. */
struct relay_parked {
	uint32_t at;
	uint32_t own; /* of these, in front: the caller's, not the source's */
	char bytes[];
};

enum step {
	STEP_MOVED,
	STEP_WAITS,
};

static void socket_init(struct relay_socket *sock, int fd)
{
	/* edges before the tunnel are gone, so believe everything: the first EAGAIN corrects it */
	*sock = (struct relay_socket){ .fd = fd, .readable = true, .writable = true, .urgent = true, .ending = true };
}

void relay_init(struct relay *relay, int client, int origin)
{
	*relay = (struct relay){ 0 };
	socket_init(&relay->sockets[RELAY_CLIENT], client);
	socket_init(&relay->sockets[RELAY_ORIGIN], origin);
	for (int i = 0; i < RELAY_ENDS; i++)
		relay->flows[i].pipe = (struct pipe_pair){ .read_fd = -1, .write_fd = -1 };
}

/* The source has nothing, not even an end: whatever comes is an edge. */
static void set_empty(struct relay_socket *source)
{
	source->readable = source->urgent = source->ending = false;
}

void relay_expect(struct relay *relay, enum relay_end end)
{
	set_empty(&relay->sockets[end]);
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
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		sock->ending = true;
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

static enum step source_is_empty(struct relay *relay, enum relay_end from)
{
	set_empty(&relay->sockets[from]);
	return STEP_WAITS;
}

static enum step target_is_full(struct relay *relay, enum relay_end from)
{
	relay->sockets[other(from)].writable = false;
	return STEP_WAITS;
}

static void unpark(struct relay_flow *flow, uint32_t n)
{
	struct relay_parked *parked = flow->parked;
	uint32_t own = n < parked->own ? n : parked->own;
	parked->at += n;
	parked->own -= own;
	flow->bytes -= own;
}

/* What is held goes on. */
static enum step flow_drain(struct relay *relay, enum relay_end from, struct pipes *pipes)
{
	struct relay_flow *flow = &relay->flows[from];
	struct relay_parked *parked = flow->parked;
	int target = relay->sockets[other(from)].fd;

	ssize_t n =
		parked ? send(target, parked->bytes + parked->at, flow->held, MSG_NOSIGNAL)
		       : splice(flow->pipe.read_fd, NULL, target, NULL, flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EAGAIN)
		return target_is_full(relay, from);
	if (n < 0 && errno == EINTR)
		return STEP_MOVED;
	if (n <= 0)
		return target_failed(relay, from);
	flow->held -= (uint32_t) n;
	flow->bytes += (uint64_t) n;
	if (parked)
		unpark(flow, (uint32_t) n);
	if (flow->held > 0)
		return STEP_MOVED;
	free(parked);
	flow->parked = NULL;
	pipes_give(pipes, &flow->pipe, true);
	return STEP_MOVED;
}

/* The one place that sees the source's end of file. */
static enum step flow_end(struct relay *relay, enum relay_end from)
{
	relay->sockets[from].readable = false;
	relay->flows[from].ended = true;
	/* fails only where the target is gone, which is seen there */
	(void) shutdown(relay->sockets[other(from)].fd, SHUT_WR);
	return STEP_MOVED;
}

static enum step flow_park(struct relay *relay, enum relay_end from, const char *bytes, size_t len)
{
	struct relay_flow *flow = &relay->flows[from];
	flow->parked = malloc(sizeof(*flow->parked) + len);
	if (!flow->parked)
		return source_failed(relay, from); /* the bytes are lost, so the tunnel is */
	flow->parked->at = flow->parked->own = 0;
	memcpy(flow->parked->bytes, bytes, len);
	flow->held = (uint32_t) len;
	return target_is_full(relay, from);
}

bool relay_say(struct relay *relay, enum relay_end to, const char *bytes, size_t len)
{
	struct relay_flow *flow = &relay->flows[other(to)];
	ssize_t sent = send(relay->sockets[to].fd, bytes, len, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	size_t taken = sent > 0 ? (size_t) sent : 0;
	if (taken == len)
		return true;
	(void) flow_park(relay, other(to), bytes + taken, len - taken);
	if (!flow->parked)
		return false;
	flow->parked->own = flow->held;
	return true;
}

static enum step flow_copy(struct relay *relay, enum relay_end from, size_t most)
{
	static char bytes[COPY_BYTES];
	struct relay_flow *flow = &relay->flows[from];
	struct relay_socket *source = &relay->sockets[from];
	size_t size = most < sizeof(bytes) ? most : sizeof(bytes);

	ssize_t got = recv(source->fd, bytes, size, 0);
	if (got < 0)
		return errno == EAGAIN ? source_is_empty(relay, from) : source_failed(relay, from);
	if (got == 0)
		return flow_end(relay, from);
	/* recv(2) is short in front of urgent data and of the end too; else there was no more, and what comes is an
	 * edge */
	if ((size_t) got < size && !source->urgent && !source->ending)
		source->readable = false;
	flow->bulk = got == sizeof(bytes);
	flow->small = 0;

	ssize_t sent = send(relay->sockets[other(from)].fd, bytes, (size_t) got, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return target_failed(relay, from);
	size_t taken = sent > 0 ? (size_t) sent : 0;
	flow->bytes += taken;
	return taken < (size_t) got ? flow_park(relay, from, bytes + taken, (size_t) got - taken) : STEP_MOVED;
}

static void note_size(struct relay_flow *flow, size_t n)
{
	flow->small = n < SMALL_BYTES ? (uint8_t) (flow->small + 1) : 0;
	if (flow->small == SMALL_ONES)
		flow->bulk = false;
}

static enum step flow_splice(struct relay *relay, enum relay_end from, struct pipes *pipes, size_t most)
{
	struct relay_flow *flow = &relay->flows[from];
	struct relay_socket *source = &relay->sockets[from];

	if (!pipes_take(pipes, &flow->pipe))
		return flow_copy(relay, from, most);
	ssize_t n = splice(source->fd, NULL, flow->pipe.write_fd, NULL, most < PIPES_BYTES ? most : PIPES_BYTES,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		flow->held = (uint32_t) n;
		note_size(flow, (size_t) n);
		return STEP_MOVED;
	}
	int error = errno;
	pipes_give(pipes, &flow->pipe, true);
	if (n < 0 && error == EAGAIN && !source->urgent && !source->ending)
		return source_is_empty(relay, from);
	if (n == 0 || error == EAGAIN)
		return flow_copy(relay, from, most); /* the end of file, or in front of urgent data: kernels differ */
	return error == EINTR ? STEP_MOVED : source_failed(relay, from);
}

static enum step flow_fill(struct relay *relay, enum relay_end from, struct pipes *pipes, size_t most)
{
	return relay->flows[from].bulk ? flow_splice(relay, from, pipes, most) : flow_copy(relay, from, most);
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
	const uint64_t most = relay->flows[from].bytes + BYTES_PER_TURN;
	for (int i = 0; i < MOVES_PER_TURN && relay->flows[from].bytes < most; i++)
		if (flow_step(relay, from, pipes, leave) == STEP_WAITS)
			return false;
	return true;
}

bool relay_is_bulk(const struct relay *relay)
{
	return relay->flows[RELAY_CLIENT].bulk || relay->flows[RELAY_ORIGIN].bulk;
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
	for (int i = 0; i < RELAY_ENDS; i++) {
		struct relay_flow *flow = &relay->flows[i];
		pipes_give(pipes, &flow->pipe, flow->held == 0);
		free(flow->parked);
		flow->parked = NULL;
	}
}
