/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients like any, that want little: `rate` times a second an exchange on one of n open tunnels and, in turns with it,
 * a new tunnel. What they see of the trouble that somebody else makes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "door.h"
#include "load.h"

#define NEW_MAX 256 /* new tunnels in the making */

struct others {
	struct tunnel *open, *new;
	unsigned n_open;
	struct samples exchanges, tunnels;
	unsigned long skipped, failed;
	struct window window;
};

static void say(struct tunnel *tunnel)
{
	tunnel->since_ns = now_ns();
	tunnel->got = 1; /* awaited */
	if (!tunnel_send(tunnel, "x", 1))
		die("send");
}

static bool is_new(const struct others *others, const struct tunnel *tunnel)
{
	return tunnel >= others->new &&tunnel < others->new + NEW_MAX;
}

static void end_new(struct others *others, struct tunnel *tunnel, bool good)
{
	if (others->window.open && good)
		samples_add(&others->tunnels, now_ns() - tunnel->since_ns);
	else if (others->window.open)
		others->failed++;
	tunnel_close(tunnel);
}

static void on_event(struct others *others, struct tunnel *tunnel)
{
	char byte;
	if (tunnel->stage == TUNNEL_CLOSED)
		return;
	if (tunnel->stage != TUNNEL_OPEN) {
		enum tunnel_progress progress = tunnel_advance(tunnel);
		if (progress == PROGRESS_FAILED || (progress == PROGRESS_OPEN && !tunnel_send(tunnel, "x", 1)))
			end_new(others, tunnel, false);
		return;
	}
	ssize_t n = recv(tunnel->fd, &byte, 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (is_new(others, tunnel)) {
		end_new(others, tunnel, n == 1);
		return;
	}
	if (n != 1)
		die("a tunnel has ended");
	tunnel->got = 0;
	if (others->window.open)
		samples_add(&others->exchanges, now_ns() - tunnel->since_ns);
}

static struct tunnel *find(struct tunnel *tunnels, unsigned n, bool (*fits)(const struct tunnel *))
{
	static unsigned next;
	for (unsigned i = 0; i < n; i++) {
		struct tunnel *tunnel = &tunnels[next++ % n];
		if (fits(tunnel))
			return tunnel;
	}
	return NULL;
}

static bool is_closed(const struct tunnel *tunnel)
{
	return tunnel->stage == TUNNEL_CLOSED;
}

static bool is_quiet(const struct tunnel *tunnel)
{
	return tunnel->got == 0;
}

static void one_more(struct others *others, bool exchange)
{
	struct tunnel *tunnel =
		exchange ? find(others->open, others->n_open, is_quiet) : find(others->new, NEW_MAX, is_closed);
	if (!tunnel)
		others->skipped += others->window.open;
	else if (exchange)
		say(tunnel);
	else
		(void) tunnel_start(tunnel, SERVICE_ECHO);
}

/* Those that have not been answered yet have waited this long at least. */
static void count_waiting(struct others *others)
{
	uint64_t now = now_ns();
	for (unsigned i = 0; i < others->n_open; i++)
		if (!is_quiet(&others->open[i]))
			samples_add(&others->exchanges, now - others->open[i].since_ns);
	for (unsigned i = 0; i < NEW_MAX; i++)
		if (!is_closed(&others->new[i]))
			samples_add(&others->tunnels, now - others->new[i].since_ns);
}

int others_main(const struct options *options)
{
	struct epoll_event events[EVENTS_MAX];
	struct others others = { .open = tunnels_open(options->n, SERVICE_ECHO), .n_open = options->n };
	others.new = calloc(NEW_MAX, sizeof(*others.new));
	if (!others.new)
		die("calloc");
	uint64_t step_ns = (uint64_t) (1e9 / options->rate), due = now_ns();
	bool exchange = false;
	window_start(&others.window, options);
	for (uint64_t now; window_goes_on(&others.window, now = now_ns());) {
		for (; due <= now; due += step_ns, exchange = !exchange)
			one_more(&others, exchange);
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 1);
		for (int i = 0; i < n; i++)
			on_event(&others, events[i].data.ptr);
	}
	count_waiting(&others);
	printf("{\"units\":%zu,\"failed\":%lu,\"skipped\":%lu", others.tunnels.n, others.failed, others.skipped);
	samples_print(&others.tunnels, "tunnel");
	samples_print(&others.exchanges, "exchange");
	puts("}");
	free(others.open);
	free(others.new);
	return 0;
}
