/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keeper's control socket, RUN/KEY.sock (SOCK_SEQPACKET, root only): what hooks and `status` ask of it.
 *
 *     hook                                keeper
 *     LISTEN listener                ->       the namespace's; from the hook that started it, while it came up
 *     JOIN id, pidfd, image          ->       same policy, perhaps a newer version? watch the pidfd
 *                                    <-   OK, when the newest holds, or ERROR
 *     PROBE source port              ->       tells the worker, which acknowledges
 *                                    <-   OK: connect now, from inside the container's namespace
 *                                    <-   READY: the worker has accepted that connection
 *     COMMIT                         ->       the container now lives as long as its init
 *                                    <-   OK, or ERROR: its init has ended
 *     LEAVE id                       ->       poststop: only a hint to look at the pidfds now
 *                                    <-   OK
 *     STATUS                         ->
 *                                    <-   STATUS
 *     RESTART program                ->       another worker in the place of the present one, proxy/retiring.h
 *                                    <-   OK: it has taken over, or ERROR
 *     RELOAD                         ->       looks at the policy's file now, whatever it knows
 *                                    <-   RELOADED: what the file says holds, or ERROR: it does not, and why
 *
 * A JOIN whose connection ends before COMMIT is taken back; a keeper left without a container undoes everything and
 * ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proxy/reason.h"

#define CONTROL_ID_MAX 200 /* bytes of a container's id */
#define CONTROL_CONTAINERS_MAX 1024

enum control_type {
	CONTROL_JOIN = 1, /* descriptors: pidfd of the container's init, image */
	CONTROL_PROBE,
	CONTROL_COMMIT,
	CONTROL_LEAVE,
	CONTROL_STATUS,
	CONTROL_OK,
	CONTROL_READY,
	CONTROL_ERROR,
	CONTROL_LISTEN, /* descriptor: the listener; no answer */
	CONTROL_RELOAD,
	CONTROL_RELOADED,
	CONTROL_RESTART, /* descriptor: the program of the worker, O_PATH */
};

/* What of a policy that holds only a new container can have (needs of a status): as bits. */
enum control_needs {
	CONTROL_NEEDS_LINK = 1,
	CONTROL_NEEDS_PROXY = 2,
	CONTROL_NEEDS_CONNECTIONS = 4, /* limits.connections: more than at first */
	CONTROL_NEEDS_LOG_BYTES = 8,
	CONTROL_NEEDS_GATE = 16, /* direct, inbound or gate */
};

/* What a namespace's key looks like in file names: hexadecimal digits of a cookie, netns/netns.h. */
#define CONTROL_KEY_MAX 32

enum control_state {
	CONTROL_STATE_STARTING = 1,
	CONTROL_STATE_RUNNING,
	CONTROL_STATE_FAILED, /* the worker or the external proxy could not be kept up: egress is closed */
};

struct control_status {
	uint32_t state; /* enum control_state */
	uint32_t containers;
	int32_t worker_pid; /* 0: none */
	int32_t external_pid;
	uint32_t restarts; /* of the worker, ever */
	uint32_t open;     /* scoreboard.h */
	uint64_t accepted, allowed, denied, failed, bytes_up, bytes_down, lines_lost;
	uint64_t policy_version; /* image_fingerprint() */
	int64_t policy_since;    /* seconds since the epoch */
	uint32_t reloads;        /* versions of the policy after the first */
	uint32_t needs;          /* enum control_needs */
	char reload_error[512];  /* of the newest version, where that is not the one that holds; else empty */
	uint64_t reasons[REASON_COUNT];
};

#define CONTROL_TEXT_SIZE 1536 /* nor is a status larger */

struct control_message {
	uint32_t type;
	int32_t code;    /* of ERROR: -errno */
	uint32_t value;  /* of PROBE: the source port; of RELOADED: whether the policy is another than before; of JOIN's
			    OK: whether it asks for another gate than the image that came with it */
	uint32_t closed; /* of ERROR: struct error's closed */
	union {
		char text[CONTROL_TEXT_SIZE]; /* NUL-terminated: of JOIN and LEAVE the id, of ERROR the message */
		struct control_status status;
	};
};

/*
 * The asking side. Each waits at most timeout_ms for the keeper's answer; -ETIMEDOUT, -ECONNRESET where the keeper has
 * ended, or the keeper's own error with its closed. dir is the run directory, key the namespace's key (netns/netns.h)
 * in text. control_connect(): -ENOENT or -ECONNREFUSED where there is no keeper.
 */
int control_connect(int dir, const char *key, int *ret_sock, struct error *err);
int control_listen(int sock, int listener, struct error *err);
int control_join(
	int sock, const char *id, int pidfd, int image, int timeout_ms, bool *ret_other_gate, struct error *err);
int control_probe(int sock, uint16_t source_port, int timeout_ms, struct error *err);
int control_wait_ready(int sock, int timeout_ms, struct error *err);
int control_commit(int sock, int timeout_ms, struct error *err);
int control_leave(int sock, const char *id, int timeout_ms, struct error *err);
int control_status(int sock, int timeout_ms, struct control_status *ret, struct error *err);
int control_restart(int sock, int program, int timeout_ms, struct error *err);
int control_reload(int sock, int timeout_ms, bool *ret_changed, struct error *err);

/*
 * The answering side. control_receive() takes one request and the descriptors that its type has: 0; -ECONNRESET: the
 * connection has ended; -EPROTO: not a request, to be closed. fds (room for IO_FDS_MAX) belong to the caller. Answers
 * never wait: -EAGAIN where the other side does not read.
 */
int control_receive(int sock, struct control_message *ret, int *fds, size_t *ret_n);
int control_answer(int sock, enum control_type type);
int control_answer_join(int sock, bool other_gate);
int control_answer_error(int sock, const struct error *err);
int control_answer_reloaded(int sock, bool changed);
int control_answer_status(int sock, const struct control_status *status);

/* May this be a container's id, and so a file's name? [A-Za-z0-9][A-Za-z0-9_.+-]*, no "..", CONTROL_ID_MAX. */
bool control_id_valid(const char *id);
