/* SPDX-License-Identifier: Apache-2.0 */
#include "door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_A_TIME 64
#define STALL_NS 4000000000u

enum door_kind door_kind;
struct sockaddr_in door_proxy, door_origin;
int door_epoll;

static bool start(struct tunnel *tunnel, unsigned service)
{
	struct sockaddr_in to = door_proxy;
	int on = 1;
	if (door_kind == DOOR_DIRECT)
		to.sin_port = htons((uint16_t) (ntohs(door_proxy.sin_port) + service));
	tunnel->port = (uint16_t) (ntohs(door_origin.sin_port) + service);
	tunnel->got = 0;
	tunnel->since_ns = now_ns();
	tunnel->stage = TUNNEL_CLOSED;
	tunnel->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (tunnel->fd < 0)
		die("socket");
	(void) setsockopt(tunnel->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(tunnel->fd, (const struct sockaddr *) &to, sizeof(to)) < 0 && errno != EINPROGRESS) {
		tunnel_close(tunnel);
		return false;
	}
	return true;
}

static void watch(struct tunnel *tunnel, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = tunnel };
	if (epoll_ctl(door_epoll, operation, tunnel->fd, &event) < 0)
		die("epoll_ctl");
}

bool tunnel_start(struct tunnel *tunnel, unsigned service)
{
	if (!start(tunnel, service))
		return false;
	tunnel->stage = TUNNEL_CONNECTS;
	watch(tunnel, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLET);
	return true;
}

bool tunnel_start_bare(struct tunnel *tunnel, unsigned service)
{
	if (!start(tunnel, service))
		return false;
	tunnel->stage = TUNNEL_OPEN;
	watch(tunnel, EPOLL_CTL_ADD, EPOLLOUT | EPOLLET);
	return true;
}

void tunnel_watch(struct tunnel *tunnel, uint32_t events)
{
	watch(tunnel, EPOLL_CTL_MOD, events);
}

void tunnel_close(struct tunnel *tunnel)
{
	close(tunnel->fd);
	tunnel->fd = -1;
	tunnel->stage = TUNNEL_CLOSED;
}

bool tunnel_send(const struct tunnel *tunnel, const char *bytes, size_t len)
{
	return send(tunnel->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t) len;
}

static enum tunnel_progress ask(struct tunnel *tunnel)
{
	char request[256], host[INET_ADDRSTRLEN];
	size_t len;
	if (door_kind == DOOR_CONNECT) {
		inet_ntop(AF_INET, &door_origin.sin_addr, host, sizeof(host));
		len = (size_t) snprintf(request, sizeof(request), "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", host,
			tunnel->port, host, tunnel->port);
	} else {
		uint16_t port = htons(tunnel->port);
		memcpy(request, "\5\1\0\1", 4);
		memcpy(request + 4, &door_origin.sin_addr, 4);
		memcpy(request + 8, &port, 2);
		len = 10;
	}
	tunnel->stage = TUNNEL_ASKS;
	tunnel->got = 0;
	return tunnel_send(tunnel, request, len) ? PROGRESS_MORE : PROGRESS_FAILED;
}

static enum tunnel_progress connected(struct tunnel *tunnel)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(tunnel->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		return PROGRESS_FAILED;
	if (door_kind == DOOR_CONNECT)
		return ask(tunnel);
	if (door_kind == DOOR_SOCKS5) {
		tunnel->stage = TUNNEL_GREETS;
		return tunnel_send(tunnel, "\5\1\0", 3) ? PROGRESS_MORE : PROGRESS_FAILED;
	}
	tunnel->stage = TUNNEL_OPEN;
	return PROGRESS_OPEN;
}

/* How long the answer so far must be to be complete; SIZE_MAX: it refuses. */
static size_t answer_needs(const struct tunnel *tunnel)
{
	const char *answer = tunnel->answer;
	if (tunnel->stage == TUNNEL_GREETS)
		return 2;
	if (door_kind == DOOR_SOCKS5) {
		if (tunnel->got >= 2 && answer[1] != 0)
			return SIZE_MAX;
		return tunnel->got < 5  ? 10
		       : answer[3] == 1 ? 10
		       : answer[3] == 4 ? 22
					: 7 + (size_t) (unsigned char) answer[4];
	}
	if (tunnel->got >= 10 && (memcmp(answer, "HTTP/1.", 7) != 0 || answer[9] != '2'))
		return SIZE_MAX;
	return memmem(answer, tunnel->got, "\r\n\r\n", 4) ? tunnel->got : tunnel->got + 1;
}

static enum tunnel_progress read_answer(struct tunnel *tunnel)
{
	ssize_t n = recv(tunnel->fd, tunnel->answer + tunnel->got, sizeof(tunnel->answer) - tunnel->got, 0);
	if (n < 0 && errno == EAGAIN)
		return PROGRESS_MORE;
	if (n <= 0)
		return PROGRESS_FAILED;
	tunnel->got += (size_t) n;
	size_t needs = answer_needs(tunnel);
	if (needs > sizeof(tunnel->answer))
		return PROGRESS_FAILED;
	if (tunnel->got < needs)
		return PROGRESS_MORE;
	if (tunnel->stage == TUNNEL_GREETS)
		return ask(tunnel);
	tunnel->stage = TUNNEL_OPEN;
	tunnel->got = 0;
	return PROGRESS_OPEN;
}

enum tunnel_progress tunnel_advance(struct tunnel *tunnel)
{
	return tunnel->stage == TUNNEL_CONNECTS ? connected(tunnel) : read_answer(tunnel);
}

struct tunnel *tunnels_open(unsigned n, unsigned service)
{
	struct tunnel *tunnels = calloc(n, sizeof(*tunnels));
	struct epoll_event events[EVENTS_MAX];
	unsigned started = 0, open = 0;
	uint64_t last = now_ns();
	if (!tunnels)
		die("calloc");
	while (open < n) {
		for (; started < n && started - open < AT_A_TIME; started++)
			if (!tunnel_start(&tunnels[started], service))
				die("connect");
		int k = epoll_wait(door_epoll, events, EVENTS_MAX, 200);
		for (int i = 0; i < k; i++) {
			struct tunnel *tunnel = events[i].data.ptr;
			enum tunnel_progress progress =
				tunnel->stage == TUNNEL_OPEN ? PROGRESS_MORE : tunnel_advance(tunnel);
			if (progress == PROGRESS_FAILED)
				die("a tunnel is refused");
			if (progress == PROGRESS_OPEN) {
				open++;
				last = now_ns();
			}
		}
		if (now_ns() - last > STALL_NS)
			die("no more tunnels open");
	}
	return tunnels;
}
