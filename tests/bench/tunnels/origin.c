/* SPDX-License-Identifier: Apache-2.0 */
/* All that the tunnels lead to: one thread, one port for each service. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define ACCEPTS_PER_TURN 64

struct end {
	int fd;
	enum service service;
	bool listens, started;
	size_t unsent; /* of what came last, at the end of held */
	size_t len;
	char *held;
};

static int epoll;
static uint64_t taken;
static char http_answer[HTTP_BODY_BYTES + 256];
static size_t http_answer_len;

static void watch(struct end *end, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = end };
	if (epoll_ctl(epoll, operation, end->fd, &event) < 0)
		die("epoll_ctl");
}

static void end_close(struct end *end)
{
	close(end->fd);
	free(end->held);
	free(end);
}

static struct end *end_new(int fd, enum service service, bool listens)
{
	struct end *end = calloc(1, sizeof(*end));
	if (!end)
		die("calloc");
	*end = (struct end){ .fd = fd, .service = service, .listens = listens };
	watch(end, EPOLL_CTL_ADD, EPOLLIN);
	return end;
}

static void listen_on(struct sockaddr_in at, enum service service)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	at.sin_port = htons((uint16_t) (ntohs(at.sin_port) + service));
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted ones inherit it */
	if (bind(fd, (const struct sockaddr *) &at, sizeof(at)) < 0 || listen(fd, 16384) < 0)
		die("listen");
	end_new(fd, service, true);
}

static void tell_count(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long) taken);
	if (write(fd, text, (size_t) len) != len)
		perror("counter");
	close(fd);
}

static void accept_some(const struct end *listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (listener->service == SERVICE_COUNTER)
			tell_count(fd);
		else
			end_new(fd, listener->service, false);
	}
}

/* Sends bytes, and keeps what does not go out. False: the peer is gone. */
static bool pass(struct end *end, const char *bytes, size_t len)
{
	ssize_t n = send(end->fd, bytes, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		return false;
	size_t sent = n > 0 ? (size_t) n : 0;
	end->unsent = len - sent;
	if (end->unsent == 0)
		return true;
	char *held = malloc(end->unsent);
	if (!held)
		die("malloc");
	memcpy(held, bytes + sent, end->unsent);
	free(end->held);
	end->held = held;
	end->len = end->unsent;
	watch(end, EPOLL_CTL_MOD, EPOLLOUT);
	return true;
}

static bool send_held(struct end *end)
{
	ssize_t n = send(end->fd, end->held + end->len - end->unsent, end->unsent, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN;
	end->unsent -= (size_t) n;
	if (end->unsent == 0)
		watch(end, EPOLL_CTL_MOD, EPOLLIN);
	return true;
}

/* Requests come whole here: the client sends one at a time, the proxies pass them on in one piece. */
static bool answer_requests(struct end *end, const char *bytes, size_t len)
{
	const char *at = bytes;
	while ((at = memmem(at, len - (size_t) (at - bytes), "\r\n\r\n", 4))) {
		at += 4;
		if (!pass(end, http_answer, http_answer_len))
			return false;
	}
	return true;
}

static bool read_some(struct end *end)
{
	char bytes[65536];
	bool sink = end->service == SERVICE_SINK;
	ssize_t n = sink ? recv(end->fd, block, sizeof(block), 0) : recv(end->fd, bytes, sizeof(bytes), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	switch (end->service) {
	case SERVICE_ECHO:
		return pass(end, bytes, (size_t) n);
	case SERVICE_HTTP:
		return answer_requests(end, bytes, (size_t) n);
	case SERVICE_SINK:
		taken += (uint64_t) n;
		return true;
	default:
		end->started = true;
		watch(end, EPOLL_CTL_MOD, EPOLLOUT | EPOLLRDHUP);
		return true;
	}
}

static bool on_event(struct end *end, uint32_t events)
{
	if (end->listens) {
		accept_some(end);
		return true;
	}
	if (end->started)
		return !(events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) &&
		       (send(end->fd, block, sizeof(block), MSG_NOSIGNAL) > 0 || errno == EAGAIN);
	return end->unsent > 0 ? send_held(end) : read_some(end);
}

int origin_main(struct sockaddr_in at)
{
	struct epoll_event events[EVENTS_MAX];
	epoll = epoll_create1(EPOLL_CLOEXEC);
	http_answer_len = (size_t) snprintf(http_answer, sizeof(http_answer),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%0*d", HTTP_BODY_BYTES,
		HTTP_BODY_BYTES, 0);
	for (enum service service = 0; service < SERVICES; service++)
		listen_on(at, service);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			struct end *end = events[i].data.ptr;
			if (!on_event(end, events[i].events))
				end_close(end);
		}
	}
}
