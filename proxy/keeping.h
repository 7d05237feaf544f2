/* SPDX-License-Identifier: Apache-2.0 */
/* What a keeper is made of: shared by its loop (keeper.c) and its answers (server.c), and by nobody else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/image.h"
#include "proxy/builtin.h"
#include "proxy/containers.h"
#include "proxy/control.h"
#include "proxy/external.h"
#include "proxy/reloading.h"
#include "proxy/retiring.h"

#define SERVER_CONNECTIONS_MAX 64

/*
 * A probe on its way:  NONE -> WAITING (for a worker that is ready and has no other) -> ASKED -> NONE
 * told: the hook has had its OK, and connects. A worker's death takes ASKED back to WAITING.
 */
enum probe {
	PROBE_NONE,
	PROBE_WAITING,
	PROBE_ASKED,
};

/* A connection that waits for a reload, which it has asked for or has come amid: NONE -> ASKED -> RUNNING, when the
 * look begins that is to answer it -> NONE */
enum reload {
	RELOAD_NONE,
	RELOAD_ASKED,
	RELOAD_RUNNING,
};

struct connection {
	int fd;
	uint32_t serial; /* from 1, never used twice: who owns a container */
	bool is_hook;    /* the one that the keeper was born with */
	bool joined;     /* it has brought a container */
	uint64_t gate;   /* reloading_gate() of the image that came with that */
	bool closing;    /* freed by the next sweep */
	enum probe probe;
	bool told;
	uint16_t port;
	int64_t end_ms; /* of the probe */
	enum reload reload;
	bool joins;       /* what waits for the reload is the answer to its JOIN */
	uint64_t version; /* image_fingerprint() of what held when it asked */
	bool restarts;    /* it has asked for a restart and waits for its end */
};

struct server {
	size_t n;
	uint32_t serials;
	struct connection v[SERVER_CONNECTIONS_MAX];
};

struct keeper {
	const char *key;
	const struct image *image; /* NULL: what the hook gave was none */
	enum control_state state;
	struct error failure; /* of CONTROL_STATE_FAILED */
	bool joined;          /* the first JOIN has come */
	bool hook_gone;
	bool settled;     /* a container is committed, and what can wait for that is done */
	int64_t retry_ms; /* when to try for the lock again */
	struct logfile log;
	struct builtin builtin;
	struct retiring retiring;
	struct external external;
	struct containers containers;
	struct reloading reloading;
	struct server server;
};

/* keeper.c: the listener has come. It stays the caller's. */
void keeper_listen(struct keeper *keeper, int listener);

/* server.c: a connection joins, all are served, those that have ended are swept. */
void server_add(struct server *server, int fd, bool is_hook);
void server_accept(struct server *server, int listener);
void server_on_readable(struct keeper *keeper, struct connection *connection);
void server_sweep(struct keeper *keeper);

/* server.c: probes. Each may answer connections. */
void server_on_worker(struct keeper *keeper, const struct channel_message *message);
void server_on_worker_gone(struct server *server);
void server_on_failure(struct keeper *keeper);
void server_advance(struct keeper *keeper);

/* server.c: whoever has asked for a reload waits for the look that begins; that look's end answers. */
void server_on_look(struct keeper *keeper);
bool server_awaits_reload(const struct server *server);
void server_on_reload(struct keeper *keeper);

/* server.c: a restart is over; err NULL: another worker serves. */
void server_on_restart(struct keeper *keeper, const struct error *err);

/* When the next probe expires; INT64_MAX: none does. */
int64_t server_next_ms(const struct server *server);
