/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "oci/imagefile.h"
#include "proxy/inherited.h"
#include "proxy/keeping.h"

/* What a probe waits beyond startup_timeout_ms: an external proxy's own time-out says more. */
#define PROBE_GRACE_MS 250

void server_add(struct server *server, int fd, bool is_hook)
{
	int flags = fcntl(fd, F_GETFL);
	if (server->n >= SERVER_CONNECTIONS_MAX || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		close(fd);
		return;
	}
	server->v[server->n++] = (struct connection){ .fd = fd, .serial = ++server->serials, .is_hook = is_hook };
}

void server_accept(struct server *server, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || (cred.uid != 0 && cred.uid != geteuid())) {
		close(fd);
		return;
	}
	server_add(server, fd, false);
}

/* An answer that cannot be sent ends the connection: whoever does not read it does not wait for it. */
static void answer(struct connection *connection, enum control_type type)
{
	if (control_answer(connection->fd, type) < 0)
		connection->closing = true;
}

static void answer_error(struct connection *connection, const struct error *err)
{
	if (control_answer_error(connection->fd, err) < 0)
		connection->closing = true;
}

/* What broke on our side is the first hook's on_failure; to one that joins others it is closed. */
static void answer_failure(struct keeper *keeper, struct connection *connection)
{
	struct error err = keeper->failure;
	if (containers_of_others(&keeper->containers, connection->serial) > 0)
		(void) error_close(&err);
	answer_error(connection, &err);
}

/* Is it the policy that holds, or another version of it, which holds from now on unless the file says otherwise? */
static int take_image(struct keeper *keeper, const struct image *image, size_t len, int *fd, struct error *err)
{
	const struct image *ours = keeper->image;
	if (image_fingerprint(image) == image_fingerprint(ours))
		return 0;
	if (strcmp(image_string(image, image->name), image_string(ours, ours->name)) != 0 ||
		strcmp(image_string(image, image->file), image_string(ours, ours->file)) != 0)
		return error_say(err, EEXIST, "another policy holds for this network namespace already");
	reloading_doubt(keeper);
	if (reloading_is_overtaken(keeper, image))
		return 0;
	int r = reloading_offer(keeper, image, len, *fd, err);
	if (r == 0)
		*fd = -1;
	return r;
}

static int compare_image(struct keeper *keeper, int *fd, uint64_t *ret_gate, struct error *err)
{
	const struct image *image;
	size_t len;
	int r = imagefile_map(*fd, &image, &len, err);
	if (r < 0)
		return r;
	*ret_gate = reloading_gate(image);
	r = take_image(keeper, image, len, fd, err);
	if (*fd >= 0)
		(void) munmap((void *) (uintptr_t) image, len);
	return r < 0 ? error_close(err) : 0;
}

static int join(
	struct keeper *keeper, struct connection *connection, const char *id, int *pidfd, int *image, struct error *err)
{
	int r = compare_image(keeper, image, &connection->gate, err);
	if (r < 0)
		return r;
	r = containers_add(&keeper->containers, id, *pidfd, connection->serial, err);
	if (r == 0)
		*pidfd = -1;
	return r;
}

static void await_reload(struct keeper *keeper, struct connection *connection, bool joins)
{
	connection->reload = reloading_is_due(keeper) ? RELOAD_ASKED : RELOAD_RUNNING;
	connection->joins = joins;
	connection->version = image_fingerprint(keeper->image);
}

/* A hook whose policy was overtaken on its way must not put the gate of before back. */
static void answer_joined(const struct keeper *keeper, struct connection *connection)
{
	if (control_answer_join(connection->fd, connection->gate != reloading_gate(keeper->image)) < 0)
		connection->closing = true;
}

/* The container is to start with what its policy says now: where something has changed, when that holds. */
static void answer_join(struct keeper *keeper, struct connection *connection)
{
	if (reloading_is_due(keeper) || reloading_is_busy(keeper))
		await_reload(keeper, connection, true);
	else
		answer_joined(keeper, connection);
}

static void on_join(struct keeper *keeper, struct connection *connection, const char *id, int pidfd, int image)
{
	struct error err;
	if (keeper->state == CONTROL_STATE_FAILED) {
		answer_failure(keeper, connection);
	} else if (join(keeper, connection, id, &pidfd, &image, &err) < 0) {
		answer_error(connection, &err);
	} else {
		connection->joined = true;
		keeper->joined = true;
		answer_join(keeper, connection);
	}
	if (pidfd >= 0)
		close(pidfd);
	if (image >= 0)
		close(image);
}

/* Once, from the hook that the keeper was born with: it has made the link. */
static void on_listen(struct keeper *keeper, struct connection *connection, int listener)
{
	if (!connection->is_hook || inherited_fd(KEEPER_FD_LISTENER) >= 0)
		connection->closing = true;
	else if (keeper->state != CONTROL_STATE_FAILED)
		keeper_listen(keeper, listener);
	close(listener);
}

static void on_probe(struct keeper *keeper, struct connection *connection, uint16_t port)
{
	if (keeper->state == CONTROL_STATE_FAILED) {
		answer_failure(keeper, connection);
		return;
	}
	connection->probe = PROBE_WAITING;
	connection->told = false;
	connection->port = port;
	connection->end_ms = clock_now_ms() + keeper->image->startup_timeout_ms + PROBE_GRACE_MS;
}

static void on_reload(struct keeper *keeper, struct connection *connection)
{
	if (keeper->state == CONTROL_STATE_FAILED) {
		answer_failure(keeper, connection);
		return;
	}
	reloading_ask(keeper);
	await_reload(keeper, connection, false);
}

static void on_restart(struct keeper *keeper, struct connection *connection, int program)
{
	struct error err;
	if (keeper->state == CONTROL_STATE_FAILED)
		answer_failure(keeper, connection);
	else if (retiring_begin(keeper, program, &err) < 0)
		answer_error(connection, &err);
	else
		program = -1;
	connection->restarts = program < 0;
	if (program >= 0)
		close(program);
}

static void on_status(const struct keeper *keeper, struct connection *connection)
{
	struct control_status status = { .state = keeper->state, .containers = (uint32_t) keeper->containers.n };
	status.external_pid = (int32_t) keeper->external.handle.pid;
	builtin_status(&keeper->builtin, &status);
	retiring_status(keeper, &status);
	reloading_status(keeper, &status);
	if (control_answer_status(connection->fd, &status) < 0)
		connection->closing = true;
}

static void on_commit(struct keeper *keeper, struct connection *connection)
{
	containers_sweep(&keeper->containers);
	if (containers_commit(&keeper->containers, connection->serial) == 0) {
		struct error err;
		(void) error_say(&err, ESRCH, "the container has ended");
		(void) error_close(&err);
		answer_error(connection, &err);
		return;
	}
	reloading_follow_gate(keeper, connection->gate);
	answer(connection, CONTROL_OK);
	if (!keeper->settled) { /* once in a keeper's life, and now: nobody waits for it */
		logfile_prune_sometimes(KEEPER_FD_LOG_DIR, LOGFILE_TOTAL_MAX);
		reloading_begin(keeper);
	}
	keeper->settled = true;
}

void server_on_readable(struct keeper *keeper, struct connection *connection)
{
	struct control_message message;
	int fds[IO_FDS_MAX];
	size_t n_fds;
	int r = control_receive(connection->fd, &message, fds, &n_fds);
	if (r < 0) {
		connection->closing = r != -EAGAIN;
		return;
	}
	switch ((enum control_type) message.type) {
	case CONTROL_JOIN:
		on_join(keeper, connection, message.text, fds[0], fds[1]);
		break;
	case CONTROL_LISTEN:
		on_listen(keeper, connection, fds[0]);
		break;
	case CONTROL_PROBE:
		on_probe(keeper, connection, (uint16_t) message.value);
		break;
	case CONTROL_COMMIT:
		on_commit(keeper, connection);
		break;
	case CONTROL_LEAVE:
		containers_sweep(&keeper->containers);
		answer(connection, CONTROL_OK);
		break;
	case CONTROL_STATUS:
		on_status(keeper, connection);
		break;
	case CONTROL_RELOAD:
		on_reload(keeper, connection);
		break;
	case CONTROL_RESTART:
		on_restart(keeper, connection, fds[0]);
		break;
	case CONTROL_OK:
	case CONTROL_READY:
	case CONTROL_RELOADED:
	case CONTROL_ERROR:
		connection->closing = true; /* control_receive() lets none through */
		break;
	}
}

/* No more of it is awaited: else another's connection from that port would pass for the hook's. */
static void drop_probe(struct keeper *keeper, struct connection *connection)
{
	if (connection->probe == PROBE_ASKED)
		builtin_cancel_probe(&keeper->builtin);
	connection->probe = PROBE_NONE;
}

void server_sweep(struct keeper *keeper)
{
	struct server *server = &keeper->server;
	for (size_t i = server->n; i-- > 0;) {
		struct connection *connection = &server->v[i];
		if (!connection->closing)
			continue;
		drop_probe(keeper, connection);
		containers_take_back(&keeper->containers, connection->serial);
		keeper->hook_gone = keeper->hook_gone || connection->is_hook;
		keeper->retry_ms = 0; /* it may have been the one that held the lock */
		close(connection->fd);
		*connection = server->v[--server->n];
	}
}

void server_on_worker(struct keeper *keeper, const struct channel_message *message)
{
	struct server *server = &keeper->server;
	for (size_t i = 0; i < server->n; i++) {
		struct connection *connection = &server->v[i];
		if (connection->probe != PROBE_ASKED || connection->port != message->value)
			continue;
		if (message->type == CHANNEL_PROBE_ACK && !connection->told) {
			connection->told = true;
			answer(connection, CONTROL_OK);
		} else if (message->type == CHANNEL_PROBED && connection->told) {
			connection->probe = PROBE_NONE;
			answer(connection, CONTROL_READY);
		}
	}
}

void server_on_worker_gone(struct server *server)
{
	for (size_t i = 0; i < server->n; i++)
		if (server->v[i].probe == PROBE_ASKED)
			server->v[i].probe = PROBE_WAITING;
}

void server_on_failure(struct keeper *keeper)
{
	struct server *server = &keeper->server;
	for (size_t i = 0; i < server->n; i++) {
		if (server->v[i].probe == PROBE_NONE && server->v[i].reload == RELOAD_NONE && !server->v[i].restarts)
			continue;
		server->v[i].restarts = false;
		server->v[i].probe = PROBE_NONE;
		server->v[i].reload = RELOAD_NONE;
		answer_failure(keeper, &server->v[i]);
	}
}

void server_on_restart(struct keeper *keeper, const struct error *err)
{
	struct server *server = &keeper->server;
	for (size_t i = 0; i < server->n; i++) {
		struct connection *connection = &server->v[i];
		if (!connection->restarts)
			continue;
		connection->restarts = false;
		if (err)
			answer_error(connection, err);
		else
			answer(connection, CONTROL_OK);
	}
}

void server_on_look(struct keeper *keeper)
{
	struct server *server = &keeper->server;
	for (size_t i = 0; i < server->n; i++)
		if (server->v[i].reload == RELOAD_ASKED)
			server->v[i].reload = RELOAD_RUNNING;
}

bool server_awaits_reload(const struct server *server)
{
	for (size_t i = 0; i < server->n; i++)
		if (server->v[i].reload == RELOAD_RUNNING && !server->v[i].joins)
			return true;
	return false;
}

/* To a container that joins, a version that is broken is none: what held before holds for it too. */
static void answer_reload(struct keeper *keeper, struct connection *connection)
{
	const struct error *failure = &keeper->reloading.failure;
	connection->reload = RELOAD_NONE;
	if (connection->joins)
		answer_joined(keeper, connection);
	else if (failure->code != 0)
		answer_error(connection, failure);
	else if (control_answer_reloaded(connection->fd, image_fingerprint(keeper->image) != connection->version) < 0)
		connection->closing = true;
}

void server_on_reload(struct keeper *keeper)
{
	struct server *server = &keeper->server;
	for (size_t i = 0; i < server->n; i++)
		if (server->v[i].reload == RELOAD_RUNNING)
			answer_reload(keeper, &server->v[i]);
}

static void expire(struct keeper *keeper, struct connection *connection)
{
	struct error err;
	(void) error_say(&err, ETIMEDOUT, "%s",
		connection->told ? "the worker has not seen the hook's connection in time"
				 : "the worker is not ready in time");
	drop_probe(keeper, connection);
	answer_error(connection, &err);
}

/* The runtime was killed, say: the hook must not wait for a proxy that nobody needs any more. */
static bool is_bereft(const struct keeper *keeper, const struct connection *connection)
{
	const struct containers *containers = &keeper->containers;
	return connection->joined && containers_of_others(containers, connection->serial) == containers->n;
}

static bool is_waited_for(const struct connection *connection)
{
	return connection->probe != PROBE_NONE || (connection->reload != RELOAD_NONE && connection->joins);
}

static void give_up(struct keeper *keeper, struct connection *connection)
{
	connection->reload = RELOAD_NONE;
	struct error err;
	(void) error_say(&err, ESRCH, "the container has ended");
	(void) error_close(&err);
	drop_probe(keeper, connection);
	answer_error(connection, &err);
}

void server_advance(struct keeper *keeper)
{
	struct server *server = &keeper->server;
	int64_t now = clock_now_ms();
	bool asked = retiring_listens(keeper);
	for (size_t i = 0; i < server->n; i++) {
		if (server->v[i].probe != PROBE_NONE && now >= server->v[i].end_ms)
			expire(keeper, &server->v[i]);
		if (is_waited_for(&server->v[i]) && is_bereft(keeper, &server->v[i]))
			give_up(keeper, &server->v[i]);
		asked = asked || server->v[i].probe == PROBE_ASKED;
	}
	for (size_t i = 0; i < server->n && !asked; i++) {
		if (server->v[i].probe != PROBE_WAITING || builtin_probe(&keeper->builtin, server->v[i].port) < 0)
			continue;
		server->v[i].probe = PROBE_ASKED;
		asked = true;
	}
}

int64_t server_next_ms(const struct server *server)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < server->n; i++)
		if (server->v[i].probe != PROBE_NONE && server->v[i].end_ms < next)
			next = server->v[i].end_ms;
	return next;
}
