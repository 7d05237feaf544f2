/* SPDX-License-Identifier: Apache-2.0 */
/*
 * n tunnels, a byte there and back in each, then nothing. Says "idle", and waits for a line on stdin while others look
 * at the proxy's memory; then opens one new tunnel after the other beside them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "door.h"
#include "load.h"

#define PATIENCE_MS 10000

static void wait_for(const struct tunnel *tunnel, short events)
{
	struct pollfd pollfd = { .fd = tunnel->fd, .events = events };
	if (poll(&pollfd, 1, PATIENCE_MS) != 1)
		die("a tunnel answers nothing");
}

static void byte_there_and_back(const struct tunnel *tunnel)
{
	char byte;
	if (!tunnel_send(tunnel, "x", 1))
		die("send");
	wait_for(tunnel, POLLIN);
	if (recv(tunnel->fd, &byte, 1, 0) != 1)
		die("recv");
}

static void one_more(struct samples *samples)
{
	struct tunnel tunnel;
	if (!tunnel_start(&tunnel, SERVICE_ECHO))
		die("connect");
	enum tunnel_progress progress = PROGRESS_MORE;
	while (progress == PROGRESS_MORE) {
		wait_for(&tunnel, tunnel.stage == TUNNEL_CONNECTS ? POLLOUT : POLLIN);
		progress = tunnel_advance(&tunnel);
	}
	if (progress == PROGRESS_FAILED)
		die("a tunnel is refused");
	byte_there_and_back(&tunnel);
	samples_add(samples, now_ns() - tunnel.since_ns);
	tunnel_close(&tunnel);
}

int idle_main(const struct options *options)
{
	struct tunnel *tunnels = options->n ? tunnels_open(options->n, SERVICE_ECHO) : NULL;
	struct window window;
	struct samples samples = { 0 };
	for (unsigned i = 0; i < options->n; i++)
		byte_there_and_back(&tunnels[i]);
	puts("idle");
	fflush(stdout);
	(void) getchar();
	window_start(&window, options);
	while (window_goes_on(&window, now_ns()))
		one_more(&samples);
	printf("{\"units\":%zu", samples.n);
	samples_print(&samples, "tunnel");
	puts("}");
	free(tunnels);
	return 0;
}
