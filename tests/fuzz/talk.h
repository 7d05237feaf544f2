/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of a proxy, in a network namespace of the process's own: clients, origins and a name server that do what
 * they are told, and remember every byte. Whatever the world itself cannot do aborts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALK_CLIENTS 4
#define TALK_ORIGINS 16
#define TALK_EXTERNAL_PORT 9999

/* Names in these lead to 198.51.100.x on this machine; the name server is asked for all others. */
extern const char TALK_HOSTS[];
extern const char TALK_RESOLV_CONF[];

struct talk_bytes {
	uint8_t *bytes;
	size_t n, size;
};

/* A client, or one of an origin's connections. */
struct talk_end {
	int fd; /* -1: closed */
	bool half_closed;
	bool gone; /* closed or reset by its own doing */
	bool saw_end, saw_reset;
	struct talk_bytes sent, got;
};

struct talk {
	int listener; /* the proxy's, of which each client becomes one connection */
	size_t n_clients, n_origins;
	struct talk_end clients[TALK_CLIENTS], origins[TALK_ORIGINS];
};

extern struct talk talk;

/* What must hold. */
void talk_check(bool holds, const char *what);

/* Makes the namespace and all listeners; once. */
void talk_world(void);

/* NULL: there are as many as there may be. */
struct talk_end *talk_connect(void);

/* Takes what the proxy has connected to: an origin, or it aborts, since nobody may get anywhere else. */
void talk_accept(void);

/* What the socket does not take is not sent. urgent: its last byte is. */
void talk_send(struct talk_end *end, const void *bytes, size_t n, bool urgent);
/* n bytes that say where they belong. */
void talk_fill(struct talk_end *end, size_t n);
/* At most so many. Returns whether anything came, be it the end. */
bool talk_read(struct talk_end *end, size_t most);
void talk_half_close(struct talk_end *end);
void talk_close(struct talk_end *end, bool reset);

/* Is this the descriptor of an end? */
bool talk_owns(int fd);

/* Waits until there is something to read, or for longer than the kernel takes to look for room again. */
bool talk_await_bytes(void);

/* Answers all questions that have come: 'A' with an address, 'N' that there is none, else with these bytes. */
void talk_answer(char how, const void *bytes, size_t n);

/* Nobody is there, and nothing has been said. */
void talk_begin(void);

/* After the proxy has let go of everybody: they take what there still is, and must have seen that they were let go of.
 */
void talk_part(void);
