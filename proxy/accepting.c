/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accepting.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "proxy/access_log.h"
#include "proxy/channel.h"
#include "proxy/scoreboard.h"

#define ACCEPTS_PER_TURN 4 /* more wait in the queue of the kernel, where they are in nobody's way */
#define RETRY_MS 200       /* after EMFILE and its like */
#define SAY_AGAIN_MS 10000 /* a client that hovers at the limit does not fill the log */
#define RATE_RESUMES 50    /* per second, where the limit is connections per second */

static int set_options(int fd)
{
	int on = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

int accepting_start(struct accepting *accepting, int listener, struct error *err)
{
	/* From inside the sandbox it cannot be made so, and one accept4(2) too many would stop everything. */
	int flags = fcntl(listener, F_GETFL);
	if (flags < 0)
		return error_set(err, errno, "listener");
	if (!(flags & O_NONBLOCK))
		return error_say(err, EINVAL, "the listener blocks");
	/* Sockets inherit them when they are connected: two calls less for each. Those in the queue already do not. */
	int r = set_options(listener);
	if (r < 0)
		return error_set(err, -r, "options of the listener");
	accepting->inherits = false;

	accepting->listener = (struct source){ .kind = SOURCE_LISTENER, .fd = listener };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &accepting->listener };
	if (epoll_ctl(accepting->conns->epoll, EPOLL_CTL_ADD, listener, &event) < 0)
		return error_set(err, errno, "epoll_ctl of the listener");
	return 0;
}

void accepting_stop(struct accepting *accepting)
{
	struct source *listener = &accepting->listener;
	if (listener->fd < 0)
		return;
	(void) epoll_ctl(accepting->conns->epoll, EPOLL_CTL_DEL, listener->fd, NULL); /* others hold it: no close does */
	close(listener->fd);
	listener->fd = -1;
	accepting->paused = false;
}

static void set_listening(struct accepting *accepting, bool on)
{
	struct epoll_event event = { .events = on ? EPOLLIN : 0u, .data.ptr = &accepting->listener };
	(void) epoll_ctl(accepting->conns->epoll, EPOLL_CTL_MOD, accepting->listener.fd, &event);
	accepting->paused = !on;
}

static void say_limit(struct accepting *accepting, enum reason reason)
{
	int64_t now_ms = accepting->conns->now_ms, said_ms = accepting->said_ms[reason];
	scoreboard_count(accepting->conns->board, reason);
	if (said_ms != 0 && now_ms - said_ms < SAY_AGAIN_MS)
		return;
	access_log_write_pause(accepting->conns->log, reason);
	accepting->said_ms[reason] = now_ms;
}

static void pause_accepting(struct accepting *accepting, enum reason reason, int64_t resume_ms)
{
	set_listening(accepting, false);
	accepting->resume_ms = resume_ms;
	say_limit(accepting, reason);
}

static bool has_room(const struct accepting *accepting)
{
	return accepting->conns->n < accepting->max;
}

void accepting_resume(struct accepting *accepting)
{
	bool due = accepting->resume_ms == INT64_MAX || accepting->conns->now_ms >= accepting->resume_ms;
	if (accepting->paused && has_room(accepting) && due)
		set_listening(accepting, true);
}

int64_t accepting_next_ms(const struct accepting *accepting)
{
	/* a new version of the policy may have left less room than there was when it paused */
	return accepting->paused && has_room(accepting) ? accepting->resume_ms : INT64_MAX;
}

void accepting_expect(struct accepting *accepting, uint16_t probe_port)
{
	accepting->probe_port = probe_port;
	if (probe_port != 0 && accepting->paused)
		set_listening(accepting, true);
}

/* The hook's connection is told by its source port, which it bound before the keeper announced it. */
static bool is_probe(const struct accepting *accepting, const struct sockaddr_storage *peer)
{
	struct address address;
	uint16_t port;
	return accepting->probe_port != 0 && address_from_sockaddr((const struct sockaddr *) peer, &address, &port) &&
	       port == accepting->probe_port;
}

static void end_probe(struct accepting *accepting, int fd)
{
	const struct channel_message message = { .type = CHANNEL_PROBED, .value = accepting->probe_port };
	close(fd);
	(void) channel_send(accepting->channel, &message);
	accepting->probe_port = 0;
}

static void turn_away(struct accepting *accepting, int fd)
{
	struct scoreboard_counters *counters = &accepting->conns->board->counters;
	close(fd);
	atomic_fetch_add_explicit(&counters->accepted, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&counters->failed, 1, memory_order_relaxed);
	say_limit(accepting, REASON_LIMIT_CONNECTIONS);
}

/* Returns whether there may be another connection to accept. */
static bool on_error(struct accepting *accepting, int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		pause_accepting(accepting, REASON_LIMIT_RESOURCES, accepting->conns->now_ms + RETRY_MS);
		return false;
	case EINVAL:
	case EBADF:
	case ENOTSOCK:
	case EOPNOTSUPP:
		accepting->closed = true;
		return false;
	case EAGAIN:
		accepting->inherits = true;
		return false;
	default: /* the connection's own error, accept(2) */
		return true;
	}
}

static bool accept_one(struct accepting *accepting, bool full)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(accepting->listener.fd, (struct sockaddr *) &peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return on_error(accepting, errno);
	if (is_probe(accepting, &peer)) {
		end_probe(accepting, fd);
		return true;
	}
	if (accepting->conns->image->limits.connections_per_second > 0)
		bucket_take(&accepting->rate, 1);
	if (!accepting->inherits)
		(void) set_options(fd); /* fails only where the connection is dead */
	if (full)
		turn_away(accepting, fd);
	else if (!conn_start(accepting->conns, fd))
		return on_error(accepting, ENOMEM);
	return true;
}

/* Whether there were as many as may come in this time. Then it pauses, until there is room for several. */
static bool pause_for_rate(struct accepting *accepting)
{
	uint32_t rate = accepting->conns->image->limits.connections_per_second;
	if (rate == 0 || accepting->probe_port != 0)
		return false;
	if (bucket_level(&accepting->rate, rate, accepting->conns->now_ms) >= 1)
		return false;
	uint32_t several = rate / RATE_RESUMES;
	pause_accepting(
		accepting, REASON_LIMIT_RATE, bucket_when_ms(&accepting->rate, rate, several > 0 ? several : 1));
	return true;
}

void accepting_event(struct accepting *accepting, uint32_t events)
{
	if (accepting->listener.fd < 0)
		return; /* stopped in this very turn */
	/* Reported of a paused listener too, for ever. */
	if (events & (EPOLLHUP | EPOLLERR)) {
		accepting->closed = true;
		return;
	}
	/* more and more while there are, so that where they come one by one a call that finds none is rare */
	unsigned most = accepting->burst > 0 ? accepting->burst : 1;
	for (unsigned n = 0; n < most; n++) {
		bool full = accepting->conns->n >= accepting->max;
		if (full && accepting->probe_port == 0) {
			pause_accepting(accepting, REASON_LIMIT_CONNECTIONS, INT64_MAX);
			return;
		}
		if (pause_for_rate(accepting) || !accept_one(accepting, full)) {
			accepting->burst = n;
			return;
		}
	}
	accepting->burst = most * 2 < ACCEPTS_PER_TURN ? most * 2 : ACCEPTS_PER_TURN;
}
