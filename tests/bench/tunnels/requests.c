/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain HTTP: n clients, each with one connection that it keeps as long as the proxy does, one request at a time. In
 * absolute form to a proxy.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "door.h"
#include "load.h"

#define HEAD_MAX 4096

struct client {
	struct tunnel tunnel; /* first: events name it */
	bool in_body, keeps;
	size_t left; /* of the body */
	size_t head_len;
	char head[HEAD_MAX + 1];
};

static char request[512];
static size_t request_len;
static unsigned long good, bad, opened;

static void write_request(void)
{
	char host[INET_ADDRSTRLEN];
	unsigned port = ntohs(door_origin.sin_port) + SERVICE_HTTP;
	inet_ntop(AF_INET, &door_origin.sin_addr, host, sizeof(host));
	if (door_kind == DOOR_DIRECT)
		request_len = (size_t) snprintf(
			request, sizeof(request), "GET /a HTTP/1.1\r\nHost: %s:%u\r\n\r\n", host, port);
	else
		request_len = (size_t) snprintf(request, sizeof(request),
			"GET http://%s:%u/a HTTP/1.1\r\nHost: %s:%u\r\n\r\n", host, port, host, port);
}

static void ask(struct client *client)
{
	client->in_body = false;
	client->head_len = 0;
	client->tunnel.since_ns = now_ns();
	if (!tunnel_send(&client->tunnel, request, request_len))
		bad++;
}

static void client_open(struct client *client)
{
	if (!tunnel_start(&client->tunnel, SERVICE_HTTP))
		die("connect");
	opened++;
}

static const char *field(const char *head, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
			return line + 2 + len + 1 + strspn(line + 2 + len + 1, " ");
	return NULL;
}

/* Takes what belongs to the head; returns how much that is. */
static size_t take_head(struct client *client, const char *bytes, size_t len)
{
	size_t before = client->head_len, room = HEAD_MAX - before;
	size_t n = len < room ? len : room;
	memcpy(client->head + before, bytes, n);
	client->head_len += n;
	client->head[client->head_len] = '\0';
	const char *end = strstr(client->head, "\r\n\r\n");
	if (!end) {
		if (client->head_len == HEAD_MAX)
			die("a response's head has no end");
		return n;
	}
	const char *length = field(client->head, "Content-Length"), *connection = field(client->head, "Connection");
	if (strncmp(client->head, "HTTP/1.", 7) != 0 || client->head[9] != '2' || !length) {
		fprintf(stderr, "not the expected response: %s\n", client->head);
		exit(1);
	}
	client->left = strtoul(length, NULL, 10);
	client->keeps = client->head[7] == '1' && !(connection && strncasecmp(connection, "close", 5) == 0);
	client->in_body = true;
	return (size_t) (end + 4 - client->head) - before;
}

/* Returns whether a response is complete. */
static bool take(struct client *client, const char *bytes, size_t len)
{
	size_t n = client->in_body ? 0 : take_head(client, bytes, len);
	if (!client->in_body)
		return false;
	client->left -= len - n < client->left ? len - n : client->left;
	return client->left == 0;
}

static void on_event(struct client *client, const struct window *window, struct samples *samples)
{
	char bytes[8192];
	if (client->tunnel.stage != TUNNEL_OPEN) {
		client->tunnel.stage = TUNNEL_OPEN;
		tunnel_watch(&client->tunnel, EPOLLIN);
		ask(client);
		return;
	}
	ssize_t n = recv(client->tunnel.fd, bytes, sizeof(bytes), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		bad += client->head_len > 0; /* else it has closed between two requests, as it may */
		tunnel_close(&client->tunnel);
		client_open(client);
		return;
	}
	if (!take(client, bytes, (size_t) n))
		return;
	if (window->open) {
		good++;
		samples_add(samples, now_ns() - client->tunnel.since_ns);
	}
	if (client->keeps) {
		ask(client);
		return;
	}
	tunnel_close(&client->tunnel);
	client_open(client);
}

int requests_main(const struct options *options)
{
	struct client *clients = calloc(options->n, sizeof(*clients));
	struct epoll_event events[EVENTS_MAX];
	struct window window;
	struct samples samples = { 0 };
	if (!clients)
		die("calloc");
	write_request();
	for (unsigned i = 0; i < options->n; i++)
		client_open(&clients[i]);
	window_start(&window, options);
	while (window_goes_on(&window, now_ns())) {
		int n = epoll_wait(door_epoll, events, EVENTS_MAX, 50);
		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, &window, &samples);
	}
	printf("{\"units\":%lu,\"failed\":%lu,\"per_s\":%.1f,\"connections\":%lu", good, bad,
		(double) good / window_seconds(&window), opened);
	samples_print(&samples, "request");
	puts("}");
	free(clients);
	return good > 0 ? 0 : 1;
}
