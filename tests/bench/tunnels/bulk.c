/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes one way, as fast as they go, over n tunnels. Counted where they arrive. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door.h"
#include "load.h"

static uint64_t received;

static uint64_t count_at_sink(void)
{
	char text[32] = "";
	struct sockaddr_in to = door_origin;
	to.sin_port = htons((uint16_t) (ntohs(to.sin_port) + SERVICE_COUNTER));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *) &to, sizeof(to)) < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		die("the sink's counter");
	close(fd);
	return strtoull(text, NULL, 10);
}

static void move(const struct tunnel *tunnel, bool down)
{
	ssize_t n =
		down ? recv(tunnel->fd, block, sizeof(block), 0) : send(tunnel->fd, block, sizeof(block), MSG_NOSIGNAL);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("a tunnel has ended");
	if (down && n > 0)
		received += (uint64_t) n;
}

int bulk_main(const struct options *options)
{
	bool down = strcmp(options->kind, "down") == 0;
	struct tunnel *tunnels = tunnels_open(options->n, down ? SERVICE_SOURCE : SERVICE_SINK);
	struct epoll_event events[EVENTS_MAX];
	struct window window;
	for (unsigned i = 0; i < options->n; i++) {
		if (down && !tunnel_send(&tunnels[i], "x", 1))
			die("send");
		tunnel_watch(&tunnels[i], down ? EPOLLIN : EPOLLOUT);
	}
	window_start(&window, options);
	uint64_t before = 0;
	bool counting = false;
	while (window_goes_on(&window, now_ns())) {
		if (window.open && !counting) {
			before = down ? received : count_at_sink();
			counting = true;
		}
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 50);
		for (int i = 0; i < n; i++)
			move(events[i].data.ptr, down);
	}
	double gib = (double) ((down ? received : count_at_sink()) - before) / (1u << 30);
	printf("{\"units\":%.6f,\"gbit_s\":%.3f}\n", gib, gib * 8.589934592 / window_seconds(&window));
	free(tunnels);
	return 0;
}
