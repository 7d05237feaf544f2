/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/builtin.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/spawn.h"
#include "proxy/access_log.h"
#include "proxy/inherited.h"
#include "proxy/privilege.h"
#include "proxy/remains.h"
#include "proxy/title.h"
#include "proxy/worker.h"

static int make_scoreboard(struct builtin *builtin, struct error *err)
{
	builtin->n_slots = builtin->image->limits.connections;
	return scoreboard_create(builtin->n_slots, &builtin->scoreboard_fd, &builtin->scoreboard, err);
}

int builtin_prepare(struct builtin *builtin, const struct image *image, struct logfile *log, int log_dir,
	const char *id, struct error *err)
{
	builtin->image = image;
	builtin->log = log;
	builtin->program = KEEPER_FD_PROGRAM;
	(void) snprintf(builtin->id, sizeof(builtin->id), "%s", id);
	int r = logfile_open(builtin->log, log_dir, id, image->limits.log_bytes, err);
	if (r < 0)
		return r;
	r = io_memfd("oci-egress-container", id, strlen(id), &builtin->container, err);
	if (r < 0)
		return r;
	return make_scoreboard(builtin, err);
}

int builtin_renew(struct builtin *builtin, int program, struct error *err)
{
	builtin->handle = HANDLE_NONE;
	builtin->channel = -1;
	builtin->ready = builtin->listening = false;
	builtin->scoreboard_fd = -1;
	builtin->scoreboard = NULL;
	builtin->program = program;
	return make_scoreboard(builtin, err);
}

void builtin_forget(struct builtin *builtin)
{
	scoreboard_free(builtin->scoreboard, builtin->n_slots);
	builtin->scoreboard = NULL;
	if (builtin->scoreboard_fd >= 0)
		close(builtin->scoreboard_fd);
	builtin->scoreboard_fd = -1;
}

static void listens_where(struct handle *handle)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	if (getsockname(KEEPER_FD_LISTENER, (struct sockaddr *) &sa, &len) == 0)
		(void) address_from_sockaddr((const struct sockaddr *) &sa, &handle->address, &handle->port);
}

static void close_channel(struct builtin *builtin)
{
	if (builtin->channel >= 0)
		close(builtin->channel);
	builtin->channel = -1;
	builtin->ready = false;
}

struct copy {
	char **argv;
	const struct image *image;
};

static int run_copy(void *arg)
{
	const struct copy *copy = arg;
	int argc = 0;
	while (copy->argv[argc])
		argc++;
	/* It maps its own, which it lets go of when the policy is reloaded: ours would hold the memory. */
	(void) munmap((void *) (uintptr_t) copy->image, copy->image->size);
	title_set("worker");
	return worker_main(argc, copy->argv);
}

/*
 * The first one is a copy of the keeper: an exec takes longer than all else that a container's start waits for. Of what
 * the keeper holds it learns two things that it is not given: the layout of the keeper's memory, and the secret of its
 * stack protector, which whoever takes it over has for an attack on the keeper, by the little that this reads of its
 * worker (SECURITY.md). One that takes the place of another is executed, so that nothing can be learned about it from
 * those that died.
 */
static int start(const struct builtin *builtin, char **argv, const int *fds, size_t n_fds, struct handle *handle,
	struct error *err)
{
	struct copy copy = { argv + 2, builtin->image };
	if (builtin->starts == 0)
		return spawn_copy(run_copy, &copy, fds, n_fds, &handle->pid, &handle->pidfd, err);
	return spawn(builtin->program, (const char *const *) argv, fds, n_fds, &handle->pid, &handle->pidfd, err);
}

int builtin_start(struct builtin *builtin, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(err, errno, "socketpair");
	_cleanup_close_ int ours = ends[0];
	_cleanup_close_ int theirs = ends[1];

	const int fds[WORKER_FD_END - SPAWN_FD_FIRST] = {
		[WORKER_FD_LISTENER - SPAWN_FD_FIRST] = inherited_fd(KEEPER_FD_LISTENER),
		[WORKER_FD_IMAGE - SPAWN_FD_FIRST] = KEEPER_FD_IMAGE,
		[WORKER_FD_LOG - SPAWN_FD_FIRST] = builtin->log->fd,
		[WORKER_FD_RESOLV_CONF - SPAWN_FD_FIRST] = inherited_fd(KEEPER_FD_RESOLV_CONF),
		[WORKER_FD_HOSTS - SPAWN_FD_FIRST] = inherited_fd(KEEPER_FD_HOSTS),
		[WORKER_FD_SCOREBOARD - SPAWN_FD_FIRST] = builtin->scoreboard_fd,
		[WORKER_FD_CHANNEL - SPAWN_FD_FIRST] = theirs,
		[WORKER_FD_ROOT - SPAWN_FD_FIRST] = KEEPER_FD_ROOT,
		[WORKER_FD_CONTAINER - SPAWN_FD_FIRST] = builtin->container,
	};
	char uid[16], port[16];
	(void) snprintf(uid, sizeof(uid), "%u", privilege_worker_uid(getpid()));
	(void) snprintf(port, sizeof(port), "%u", builtin->external_port);
	char program[] = "oci-egress-keeper", role[] = "worker", how[] = "isolated";
	char *argv[] = { program, role, how, uid, port, NULL };

	struct handle handle = { .pidfd = -1, .stop_signal = SIGKILL };
	listens_where(&handle);
	scoreboard_reset(builtin->scoreboard, builtin->n_slots);
	builtin->log_bytes = builtin->log->max_bytes = builtin->image->limits.log_bytes;
	int r = start(builtin, argv, fds, ARRAY_SIZE(fds), &handle, err);
	if (r < 0)
		return r;
	builtin->handle = handle;
	builtin->channel = TAKE_FD(ours);
	builtin->listening = inherited_fd(KEEPER_FD_LISTENER) >= 0;
	builtin->starts++;
	return 0;
}

int builtin_listen(struct builtin *builtin)
{
	const struct channel_message message = { .type = CHANNEL_LISTEN };
	const int listener = KEEPER_FD_LISTENER;
	listens_where(&builtin->handle);
	if (builtin->channel < 0 || builtin->listening)
		return 0; /* the next one is started with it */
	builtin->listening = true;
	int r = io_send(builtin->channel, &message, sizeof(message), &listener, 1);
	return r == -EPIPE || r == -ECONNRESET ? 0 : r; /* it has just died: again the next one's */
}

/* The lines that the worker has not written, and an empty board for the next one. */
static void settle(struct builtin *builtin, enum reason reason)
{
	close_channel(builtin);
	/* At most limits.connections of them go beyond the log's size, once: not again with the next death. */
	(void) logfile_rotate(builtin->log, NULL);
	remains_write(builtin->scoreboard, builtin->n_slots, builtin->image, builtin->id, reason, builtin->log->fd);
	(void) logfile_rotate(builtin->log, NULL);
}

int builtin_on_end(struct builtin *builtin, struct error *err)
{
	int status = handle_reap(&builtin->handle);
	settle(builtin, REASON_WORKER_DIED);
	if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_LISTENER_CLOSED)
		return error_say(
			err, ENOTCONN, "the listener was closed from inside the container's network namespace");

	int64_t now = clock_now_ms();
	builtin->died_ms[builtin->deaths++ % BUILTIN_DEATHS_MAX] = now;
	int64_t oldest = builtin->died_ms[builtin->deaths % BUILTIN_DEATHS_MAX];
	if (builtin->deaths < BUILTIN_DEATHS_MAX || now - oldest > BUILTIN_DEATHS_WINDOW_MS)
		return 0;
	return error_say(err, EIO, "the worker died %d times within %d s, last by %s %d", BUILTIN_DEATHS_MAX,
		BUILTIN_DEATHS_WINDOW_MS / 1000, WIFSIGNALED(status) ? "signal" : "exit with status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int builtin_tell(struct builtin *builtin, enum channel_type type, int fd, uint32_t size)
{
	const struct channel_message message = { .type = type, .value = size };
	if (builtin->channel < 0)
		return 0;
	int r = io_send(builtin->channel, &message, sizeof(message), &fd, fd >= 0);
	if (r == -EPIPE || r == -ECONNRESET)
		return 0; /* it has just died: the next one is started with it */
	return r < 0 ? r : 1;
}

void builtin_follow(struct builtin *builtin, const struct image *image)
{
	builtin->image = image;
}

void builtin_log_policy(const struct builtin *builtin, uint32_t ended, const char *error)
{
	struct access_log *log;
	if (!builtin->scoreboard || access_log_new(builtin->log->fd, builtin->id, strlen(builtin->id), builtin->image,
					    0, -1, &builtin->scoreboard->counters, &log, NULL) < 0)
		return;
	access_log_write_policy(log, image_fingerprint(builtin->image), ended, error);
	access_log_free(log);
}

void builtin_kill(const struct builtin *builtin)
{
	if (builtin->handle.pidfd >= 0)
		(void) kill(builtin->handle.pid, SIGKILL);
}

bool builtin_receive(struct builtin *builtin, struct channel_message *ret)
{
	if (builtin->channel < 0)
		return false;
	int fds[IO_FDS_MAX];
	size_t n_fds = 0;
	ssize_t n = io_recv(builtin->channel, ret, sizeof(*ret), fds, &n_fds);
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (n == -EAGAIN)
		return false;
	if (n == (ssize_t) sizeof(*ret)) {
		builtin->ready = builtin->ready || ret->type == CHANNEL_READY;
		return true;
	}
	/* End of file, or not our protocol: a worker without a channel is of no use; its end comes by the pidfd. */
	close_channel(builtin);
	(void) kill(builtin->handle.pid, SIGKILL);
	return false;
}

void builtin_cancel_probe(struct builtin *builtin)
{
	const struct channel_message message = { .type = CHANNEL_PROBE, .value = 0 };
	if (builtin->ready)
		(void) io_send(builtin->channel, &message, sizeof(message), NULL, 0);
}

int builtin_probe(struct builtin *builtin, uint16_t source_port)
{
	const struct channel_message message = { .type = CHANNEL_PROBE, .value = source_port };
	if (!builtin->ready)
		return -EAGAIN;
	return io_send(builtin->channel, &message, sizeof(message), NULL, 0);
}

void builtin_bury(struct builtin *builtin, enum reason reason, struct control_status *past)
{
	(void) handle_reap(&builtin->handle);
	settle(builtin, reason);
	builtin_count(builtin, past);
	builtin_forget(builtin);
}

void builtin_exchange_log(const struct builtin *builtin)
{
	if (builtin->channel < 0)
		return;
	const struct channel_message message = { .type = CHANNEL_LOG, .value = logfile_size(builtin->log) };
	(void) io_send(builtin->channel, &message, sizeof(message), &builtin->log->fd, 1);
}

void builtin_stop(struct builtin *builtin)
{
	if (builtin->handle.pidfd < 0)
		return;
	handle_stop(&builtin->handle);
	settle(builtin, REASON_SHUTDOWN);
}

void builtin_status(const struct builtin *builtin, struct control_status *status)
{
	status->worker_pid = (int32_t) builtin->handle.pid;
	status->restarts = builtin->starts > 0 ? builtin->starts - 1 : 0;
	builtin_count(builtin, status);
}

void builtin_count(const struct builtin *builtin, struct control_status *status)
{
	if (!builtin->scoreboard)
		return;
	const struct scoreboard_counters *counters = &builtin->scoreboard->counters;
	status->open += atomic_load(&counters->open);
	status->accepted += atomic_load(&counters->accepted);
	status->allowed += atomic_load(&counters->allowed);
	status->denied += atomic_load(&counters->denied);
	status->failed += atomic_load(&counters->failed);
	status->bytes_up += atomic_load(&counters->bytes_up);
	status->bytes_down += atomic_load(&counters->bytes_down);
	status->lines_lost += atomic_load(&counters->lines_lost);
	for (int i = 0; i < REASON_COUNT; i++)
		status->reasons[i] += atomic_load(&counters->reasons[i]);
}
