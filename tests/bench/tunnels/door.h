/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a connection, through a proxy or direct. One epoll for all of a process. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "load.h"

enum door_kind {
	DOOR_DIRECT,  /* to the origin itself, or to a relay with a port for each of its services */
	DOOR_CONNECT, /* HTTP */
	DOOR_SOCKS5,
};

extern enum door_kind door_kind;
extern struct sockaddr_in door_proxy, door_origin; /* of the origin: its first port */
extern int door_epoll;

enum tunnel_stage {
	TUNNEL_CLOSED,
	TUNNEL_CONNECTS,
	TUNNEL_GREETS, /* SOCKS5 */
	TUNNEL_ASKS,
	TUNNEL_OPEN,
};

struct tunnel {
	int fd;
	enum tunnel_stage stage;
	uint16_t port; /* of the service */
	uint64_t since_ns;
	size_t got; /* of what is awaited */
	char answer[512];
};

enum tunnel_progress {
	PROGRESS_FAILED = -1,
	PROGRESS_MORE,
	PROGRESS_OPEN,
};

/* Starts one, watched edge-triggered for both ways. False: not even that. */
bool tunnel_start(struct tunnel *tunnel, unsigned service);
/* To the proxy only, with nothing asked for. */
bool tunnel_start_bare(struct tunnel *tunnel, unsigned service);
/* After an event of one that is not open yet. */
enum tunnel_progress tunnel_advance(struct tunnel *tunnel);
void tunnel_close(struct tunnel *tunnel);
void tunnel_watch(struct tunnel *tunnel, uint32_t events);

bool tunnel_send(const struct tunnel *tunnel, const char *bytes, size_t len);

/* n tunnels that are open, 64 in the making at a time; the caller's. Dies where one fails. */
struct tunnel *tunnels_open(unsigned n, unsigned service);
