/* SPDX-License-Identifier: Apache-2.0 */
/* Small messages there and back on n open tunnels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "door.h"
#include "load.h"

#define MESSAGE_BYTES 64

static void say(struct tunnel *tunnel)
{
	tunnel->got = 0;
	tunnel->since_ns = now_ns();
	if (!tunnel_send(tunnel, block, MESSAGE_BYTES))
		die("send");
}

/* Returns whether the whole message is back. */
static bool hear(struct tunnel *tunnel)
{
	char bytes[MESSAGE_BYTES];
	ssize_t n = recv(tunnel->fd, bytes, sizeof(bytes), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("a tunnel has ended");
	tunnel->got += n > 0 ? (size_t) n : 0;
	return tunnel->got >= MESSAGE_BYTES;
}

int exchanges_main(const struct options *options)
{
	struct tunnel *tunnels = tunnels_open(options->n, SERVICE_ECHO);
	struct epoll_event events[EVENTS_MAX];
	struct window window;
	struct samples samples = { 0 };
	for (unsigned i = 0; i < options->n; i++) {
		tunnel_watch(&tunnels[i], EPOLLIN);
		say(&tunnels[i]);
	}
	window_start(&window, options);
	while (window_goes_on(&window, now_ns())) {
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 50);
		for (int i = 0; i < n; i++) {
			struct tunnel *tunnel = events[i].data.ptr;
			if (!hear(tunnel))
				continue;
			if (window.open)
				samples_add(&samples, now_ns() - tunnel->since_ns);
			say(tunnel);
		}
	}
	printf("{\"units\":%zu,\"per_s\":%.1f", samples.n, (double) samples.n / window_seconds(&window));
	samples_print(&samples, "exchange");
	puts("}");
	free(tunnels);
	return 0;
}
