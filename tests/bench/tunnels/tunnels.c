/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels that live as short as can be: connect, ask, one byte there and back, close; n clients. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door.h"
#include "load.h"

#define PATIENCE_NS 10000000000u

struct count {
	unsigned long good, bad;
	struct samples samples;
};

/* Returns 1 when the byte is back, -1 where it will not come. */
static int advance(struct tunnel *tunnel)
{
	char byte;
	if (tunnel->stage != TUNNEL_OPEN) {
		enum tunnel_progress progress = tunnel_advance(tunnel);
		if (progress == PROGRESS_OPEN)
			return tunnel_send(tunnel, "x", 1) ? 0 : -1;
		return progress;
	}
	ssize_t n = recv(tunnel->fd, &byte, 1, 0);
	if (n == 1)
		return 1;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

static void on_event(struct tunnel *tunnel, const struct window *window, struct count *count)
{
	if (tunnel->stage == TUNNEL_CLOSED)
		return;
	int r = advance(tunnel);
	if (r == 0)
		return;
	if (window->open && r > 0) {
		count->good++;
		samples_add(&count->samples, now_ns() - tunnel->since_ns);
	} else if (window->open)
		count->bad++;
	tunnel_close(tunnel);
	(void) tunnel_start(tunnel, SERVICE_ECHO);
}

static void look_after(struct tunnel *tunnels, unsigned n, uint64_t now, struct count *count)
{
	for (unsigned i = 0; i < n; i++) {
		if (tunnels[i].stage != TUNNEL_CLOSED && now - tunnels[i].since_ns > PATIENCE_NS) {
			count->bad++;
			tunnel_close(&tunnels[i]);
		}
		if (tunnels[i].stage == TUNNEL_CLOSED)
			(void) tunnel_start(&tunnels[i], SERVICE_ECHO);
	}
}

int tunnels_main(const struct options *options)
{
	struct tunnel *tunnels = calloc(options->n, sizeof(*tunnels));
	struct epoll_event events[EVENTS_MAX];
	struct window window;
	struct count count = { 0 };
	if (!tunnels)
		die("calloc");
	window_start(&window, options);
	for (uint64_t now; window_goes_on(&window, now = now_ns());) {
		look_after(tunnels, options->n, now, &count);
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 50);
		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, &window, &count);
	}
	printf("{\"units\":%lu,\"failed\":%lu,\"per_s\":%.1f", count.good, count.bad,
		(double) count.good / window_seconds(&window));
	samples_print(&count.samples, "tunnel");
	puts("}");
	free(tunnels);
	return 0;
}
