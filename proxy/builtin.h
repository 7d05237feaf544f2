/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builtin worker as its keeper sees it: started, told and asked over the channel, started again when it dies. An
 * external proxy's bytes are carried by the same worker.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/image.h"
#include "proxy/channel.h"
#include "proxy/control.h"
#include "proxy/handle.h"
#include "proxy/logfile.h"
#include "proxy/scoreboard.h"

#define BUILTIN_DEATHS_MAX 5
#define BUILTIN_DEATHS_WINDOW_MS 10000

struct builtin {
	struct handle handle;
	bool ready;     /* it has said so */
	bool listening; /* it has the listener */
	int channel;
	int container; /* memfd: the container's id */
	int scoreboard_fd;
	struct scoreboard *scoreboard;
	uint32_t n_slots;   /* of the scoreboard, for life: the first image's limits.connections */
	uint32_t log_bytes; /* what the worker's RLIMIT_FSIZE is */
	const struct image *image;
	struct logfile *log;    /* the keeper's, of all its workers */
	int program;            /* KEEPER_FD_PROGRAM, or another in its place */
	uint16_t external_port; /* where it carries all bytes to; 0: it decides itself */
	uint32_t starts;        /* ever */
	uint32_t deaths;        /* ever */
	int64_t died_ms[BUILTIN_DEATHS_MAX];
	char id[CONTROL_ID_MAX + 1];
};

#define BUILTIN_INIT                                                                           \
	{                                                                                      \
		.handle = { .pidfd = -1 }, .channel = -1, .container = -1, .scoreboard_fd = -1 \
	}

/* Makes what all its workers share: log (named after id, the first container), counters. The image stays the caller's.
 */
int builtin_prepare(struct builtin *builtin, const struct image *image, struct logfile *log, int log_dir,
	const char *id, struct error *err);

/*
 * Another worker's, to be started beside the present one from program (O_PATH), with a scoreboard of its own as the
 * image has it; the caller keeps what was there. builtin_forget() lets go of that scoreboard.
 */
int builtin_renew(struct builtin *builtin, int program, struct error *err);
void builtin_forget(struct builtin *builtin);

/* After the end of a worker that has no successor: reaped, its lines written, its counts added to past, its scoreboard
 * gone. */
void builtin_bury(struct builtin *builtin, enum reason reason, struct control_status *past);

/* Starts a worker, on KEEPER_FD_LISTENER where that is there yet. It is ready when its channel says so. */
int builtin_start(struct builtin *builtin, struct error *err);

/* KEEPER_FD_LISTENER is there: a worker that runs without it gets it. -errno. */
int builtin_listen(struct builtin *builtin);

/*
 * After the worker's end: reaps it and writes the log lines that it owed. 0: it may be started again; -EIO: it has died
 * BUILTIN_DEATHS_MAX times in the window; -ENOTCONN: its listener is none any more.
 */
int builtin_on_end(struct builtin *builtin, struct error *err);

/*
 * Hands a worker that runs something new: 1: it was told; 0: none runs, the next one is started with it; -errno: it
 * cannot be told, and must not go on with what it has.
 */
int builtin_tell(struct builtin *builtin, enum channel_type type, int fd, uint32_t size);

/* The image that holds from now on, for the worker that runs as well; the caller's. */
void builtin_follow(struct builtin *builtin, const struct image *image);

/* A line in the container's log: what became of a new version of the policy, proxy/access_log.h. */
void builtin_log_policy(const struct builtin *builtin, uint32_t ended, const char *error);

/* It must not go on: its end comes by the pidfd, as any. */
void builtin_kill(const struct builtin *builtin);

/* Takes one message off the channel: true and *ret, false where there is none. */
bool builtin_receive(struct builtin *builtin, struct channel_message *ret);

/* Announces a connection from this source port. -errno where the worker cannot be told now. */
int builtin_probe(struct builtin *builtin, uint16_t source_port);

/* Whoever had it announced has gone. */
void builtin_cancel_probe(struct builtin *builtin);

/* Hands a worker the log there is. */
void builtin_exchange_log(const struct builtin *builtin);

/* Kills the worker; the lines of its open connections say that the proxy was shut down. */
void builtin_stop(struct builtin *builtin);

/* Adds what it has counted. */
void builtin_count(const struct builtin *builtin, struct control_status *status);

/* Fills in what status says of the worker, and adds what it has counted. */
void builtin_status(const struct builtin *builtin, struct control_status *status);
