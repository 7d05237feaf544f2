/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trouble for others, until it is killed. Says "ready" when it has begun.
 *
 * kind       n connections that
 * upload     send without end; says "stalled" when somebody has stopped the origin and every queue on the way is full
 * unread     ask for bytes without end and read none
 * drip       send one byte a second, of a request where the proxy reads one
 * half-open  send half a request and no more
 * flood      connect, ask, get a byte back and close; `rate` a second, n at most at a time
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door.h"
#include "load.h"

#define HALF_A_REQUEST "CONNECT 198.18.77."
#define PERIOD_NS 1000000000u
#define STALL_MS 100

static struct epoll_event events[EVENTS_MAX];

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static void ready(void)
{
	say("ready");
}

static void upload(const struct options *options)
{
	struct tunnel *tunnels = tunnels_open(options->n, options->services + SERVICE_SINK);
	uint64_t since = now_ns();
	unsigned sent = 0;
	for (unsigned i = 0; i < options->n; i++)
		tunnel_watch(&tunnels[i], EPOLLOUT);
	ready();
	for (bool stalled = false;;) {
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, STALL_MS);
		for (int i = 0; i < n; i++) {
			const struct tunnel *tunnel = events[i].data.ptr;
			sent += send(tunnel->fd, block, sizeof(block), MSG_NOSIGNAL) > 0;
		}
		if (stalled || now_ns() - since < STALL_MS * 1000000ull)
			continue;
		/* receive queues still grow now and then */
		stalled = sent < options->n;
		if (stalled)
			say("stalled");
		since = now_ns();
		sent = 0;
	}
}

static void unread(const struct options *options)
{
	struct tunnel *tunnels = tunnels_open(options->n, options->services + SERVICE_SOURCE);
	for (unsigned i = 0; i < options->n; i++)
		(void) tunnel_send(&tunnels[i], "x", 1);
	ready();
	pause();
}

/* A few at a time, each when the last ones are connected: as many as the proxy takes. */
static struct tunnel *bare(unsigned n)
{
	struct tunnel *tunnels = calloc(n, sizeof(*tunnels));
	unsigned open = 0;
	if (!tunnels)
		die("calloc");
	for (unsigned started = 0; open < n;) {
		for (; started < n && started - open < 64; started++)
			(void) tunnel_start_bare(&tunnels[started], SERVICE_ECHO);
		int k = epoll_wait(door_epoll, events, EVENTS_MAX, 2000);
		if (k == 0)
			break;
		for (int i = 0; i < k; i++) {
			tunnel_watch(events[i].data.ptr, EPOLLET);
			open++;
		}
	}
	return tunnels;
}

static void drip(const struct options *options)
{
	struct tunnel *tunnels = bare(options->n);
	static const char bytes[] = HALF_A_REQUEST;
	uint64_t due = now_ns();
	ready();
	for (unsigned long turn = 0;; turn++) {
		unsigned i = (unsigned) (turn % options->n);
		size_t at = turn / options->n;
		(void) tunnel_send(&tunnels[i], at < sizeof(bytes) - 1 ? &bytes[at] : "1", 1);
		due += PERIOD_NS / options->n;
		for (uint64_t now; (now = now_ns()) < due;)
			usleep((useconds_t) ((due - now) / 1000 + 1));
	}
}

static void half_open(const struct options *options)
{
	struct tunnel *tunnels = bare(options->n);
	unsigned sent = 0;
	for (unsigned i = 0; i < options->n; i++)
		sent += tunnel_send(&tunnels[i], HALF_A_REQUEST, strlen(HALF_A_REQUEST));
	fprintf(stderr, "%u of %u half open\n", sent, options->n);
	ready();
	pause();
}

static void flood_event(struct tunnel *tunnel)
{
	char byte;
	if (tunnel->stage == TUNNEL_CLOSED)
		return;
	if (tunnel->stage != TUNNEL_OPEN) {
		enum tunnel_progress progress = tunnel_advance(tunnel);
		if (progress == PROGRESS_FAILED || (progress == PROGRESS_OPEN && !tunnel_send(tunnel, "x", 1)))
			tunnel_close(tunnel);
		return;
	}
	ssize_t n = recv(tunnel->fd, &byte, 1, 0);
	if (n >= 0 || errno != EAGAIN)
		tunnel_close(tunnel);
}

static void flood(const struct options *options)
{
	struct tunnel *tunnels = calloc(options->n, sizeof(*tunnels));
	uint64_t step_ns = (uint64_t) (1e9 / options->rate), due = now_ns();
	unsigned next = 0;
	if (!tunnels)
		die("calloc");
	ready();
	for (;;) {
		for (uint64_t now = now_ns(); due <= now; due += step_ns) {
			struct tunnel *tunnel = &tunnels[next++ % options->n];
			if (tunnel->stage == TUNNEL_CLOSED)
				(void) tunnel_start(tunnel, SERVICE_ECHO);
		}
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 1);
		for (int i = 0; i < n; i++)
			flood_event(events[i].data.ptr);
	}
}

int trouble_main(const struct options *options)
{
	static const struct {
		const char *name;
		void (*make)(const struct options *options);
	} kinds[] = {
		{ "upload", upload },
		{ "unread", unread },
		{ "drip", drip },
		{ "half-open", half_open },
		{ "flood", flood },
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(options->kind, kinds[i].name) == 0)
			kinds[i].make(options);
	fprintf(stderr, "no such trouble: %s\n", options->kind);
	return 2;
}
