/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a keeper:
 *
 *     STARTING   from its birth: the external proxy, where there is one, comes up; then the worker
 *     RUNNING    from the worker's first CHANNEL_READY; a worker that dies is started again meanwhile
 *     FAILED     listener closed, nobody serves; control is answered until the last container has ended
 *     end        no container left, and the lock taken: everything of the namespace's goes
 */
#include "proxy/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "oci/imagefile.h"
#include "proxy/inherited.h"
#include "proxy/keeping.h"
#include "proxy/lock.h"
#include "proxy/privilege.h"

#define LOCK_RETRY_MS 50

enum source {
	SOURCE_CONTROL,
	SOURCE_CHANNEL,
	SOURCE_WORKER,
	SOURCE_EXTERNAL,
	SOURCE_CHANGE,
	SOURCE_COMPILER,
	SOURCE_RETIRED_CHANNEL,
	SOURCE_RETIRED = SOURCE_RETIRED_CHANNEL + RETIRING_MAX,
	SOURCE_CONNECTION = SOURCE_RETIRED + RETIRING_MAX, /* and all connections behind it, then all containers */
};

#define POLL_MAX (SOURCE_CONNECTION + SERVER_CONNECTIONS_MAX + CONTROL_CONTAINERS_MAX)

/* Egress is closed: with the listener, the container's connections are refused, and the transit goes with it. */
static void keeper_fail(struct keeper *keeper, const struct error *err)
{
	keeper->state = CONTROL_STATE_FAILED;
	keeper->failure = *err;
	builtin_stop(&keeper->builtin);
	retiring_stop(keeper);
	reloading_stop(keeper);
	inherited_drop(KEEPER_FD_LISTENER);
	keeper->external.handle.stop_signal = SIGKILL; /* whoever waits for an answer must not wait for its manners */
	external_stop(&keeper->external);
	server_on_failure(keeper);
	log_error("network namespace %s: egress closed: %s", keeper->key, err->msg);
}

static int start_worker(struct keeper *keeper, struct error *err)
{
	keeper->builtin.external_port = keeper->external.handle.port;
	int r = builtin_start(&keeper->builtin, err);
	if (r == 0)
		retiring_follow(keeper);
	return r;
}

static void keeper_begin(struct keeper *keeper, const char *id)
{
	struct error err;
	int r = builtin_prepare(&keeper->builtin, keeper->image, &keeper->log, KEEPER_FD_LOG_DIR, id, &err);
	if (r == 0 && keeper->image->proxy == IMAGE_PROXY_EXTERNAL)
		r = external_start(&keeper->external, keeper->image, &err);
	else if (r == 0)
		r = start_worker(keeper, &err);
	if (r < 0)
		keeper_fail(keeper, &err);
}

void keeper_listen(struct keeper *keeper, int listener)
{
	struct error err;
	int r = inherited_put(KEEPER_FD_LISTENER, listener);
	if (r == 0)
		r = builtin_listen(&keeper->builtin);
	if (r < 0) {
		(void) error_set(&err, -r, "take the listener");
		keeper_fail(keeper, &err);
	}
}

static void on_worker_end(struct keeper *keeper)
{
	struct error err;
	if (retiring_on_worker_end(keeper)) {
		reloading_on_worker_gone(keeper); /* the one that goes on was told */
		return;
	}
	int r = builtin_on_end(&keeper->builtin, &err);
	server_on_worker_gone(&keeper->server);
	reloading_on_worker_gone(keeper);
	if (r == 0)
		r = start_worker(keeper, &err);
	if (r < 0)
		keeper_fail(keeper, &err);
	else
		log_warning("network namespace %s: the worker died and was started again", keeper->key);
}

static void on_external_end(struct keeper *keeper)
{
	struct error err;
	(void) external_on_end(&keeper->external, &err);
	keeper_fail(keeper, &err);
}

static void on_channel(struct keeper *keeper)
{
	struct channel_message message;
	if (!builtin_receive(&keeper->builtin, &message))
		return;
	switch (message.type) {
	case CHANNEL_READY:
		keeper->state = CONTROL_STATE_RUNNING;
		retiring_on_ready(keeper);
		break;
	case CHANNEL_REVIEWED:
		reloading_on_review(keeper, message.value);
		break;
	case CHANNEL_LOG_FULL:
		retiring_rotate_log(keeper, &keeper->builtin);
		break;
	default:
		server_on_worker(keeper, &message);
		break;
	}
}

static bool external_is_starting(const struct keeper *keeper)
{
	return keeper->external.handle.pidfd >= 0 && keeper->builtin.starts == 0;
}

static void look_at_external(struct keeper *keeper)
{
	if (!external_is_starting(keeper))
		return;
	struct error err;
	int r = external_look(&keeper->external, &err);
	if (r > 0)
		r = start_worker(keeper, &err);
	if (r < 0)
		keeper_fail(keeper, &err);
}

static bool may_end(const struct keeper *keeper)
{
	return keeper->containers.n == 0 && (keeper->joined || keeper->hook_gone);
}

static int poll_timeout(const struct keeper *keeper)
{
	int64_t next = server_next_ms(&keeper->server);
	if (external_is_starting(keeper))
		next = clock_earlier(next, keeper->external.next_ms);
	if (may_end(keeper))
		next = clock_earlier(next, keeper->retry_ms);
	next = clock_earlier(next, reloading_next_ms(keeper));
	next = clock_earlier(next, retiring_next_ms(keeper));
	if (next == INT64_MAX)
		return -1;
	int64_t left = next - clock_now_ms();
	return left <= 0 ? 0 : (int) clock_earlier(left, 60000);
}

/* poll(2) skips descriptors below 0. */
static size_t gather(const struct keeper *keeper, struct pollfd *pfds)
{
	const int fds[SOURCE_RETIRED_CHANNEL] = {
		[SOURCE_CONTROL] = keeper->server.n < SERVER_CONNECTIONS_MAX ? KEEPER_FD_CONTROL : -1,
		[SOURCE_CHANNEL] = keeper->builtin.channel,
		[SOURCE_WORKER] = keeper->builtin.handle.pidfd,
		[SOURCE_EXTERNAL] = keeper->external.handle.pidfd,
		[SOURCE_CHANGE] = keeper->reloading.watching.signals,
		[SOURCE_COMPILER] = keeper->reloading.compiling.answer,
	};
	size_t n = 0;
	for (; n < SOURCE_RETIRED_CHANNEL; n++)
		pfds[n] = (struct pollfd){ .fd = fds[n], .events = POLLIN };
	for (; n < SOURCE_CONNECTION; n++)
		pfds[n] = (struct pollfd){ .fd = -1 };
	for (size_t i = 0; i < keeper->retiring.n; i++) {
		pfds[SOURCE_RETIRED_CHANNEL + i] =
			(struct pollfd){ .fd = keeper->retiring.v[i].channel, .events = POLLIN };
		pfds[SOURCE_RETIRED + i] =
			(struct pollfd){ .fd = keeper->retiring.v[i].handle.pidfd, .events = POLLIN };
	}
	for (size_t i = 0; i < keeper->server.n; i++)
		pfds[n++] = (struct pollfd){ .fd = keeper->server.v[i].fd, .events = POLLIN };
	containers_watch(&keeper->containers, pfds + n);
	return n + keeper->containers.n;
}

/* A restart that failed in this turn has taken the last of them back. */
static void on_retired(struct keeper *keeper, const struct pollfd *pfds)
{
	struct retiring *retiring = &keeper->retiring;
	for (size_t i = 0; i < retiring->n; i++)
		if (pfds[SOURCE_RETIRED_CHANNEL + i].revents &&
			pfds[SOURCE_RETIRED_CHANNEL + i].fd == retiring->v[i].channel)
			retiring_on_channel(keeper, i);
	for (size_t i = 0; i < retiring->n; i++)
		if (pfds[SOURCE_RETIRED + i].revents && pfds[SOURCE_RETIRED + i].fd == retiring->v[i].handle.pidfd)
			retiring_on_end(keeper, i);
	retiring_sweep(keeper);
}

/* Handlers mark, and add at the end: no connection that pfds has an entry for moves before the sweeps. */
static void dispatch(struct keeper *keeper, const struct pollfd *pfds, size_t n, size_t n_connections)
{
	size_t first_container = SOURCE_CONNECTION + n_connections;
	bool ended = false;
	for (size_t i = 0; i < n; i++) {
		if (pfds[i].revents == 0)
			continue;
		switch (i) {
		case SOURCE_CONTROL:
			server_accept(&keeper->server, KEEPER_FD_CONTROL);
			break;
		case SOURCE_CHANNEL:
			on_channel(keeper);
			break;
		case SOURCE_WORKER:
			if (keeper->builtin.handle.pidfd == pfds[i].fd)
				on_worker_end(keeper);
			break;
		case SOURCE_EXTERNAL:
			if (keeper->external.handle.pidfd == pfds[i].fd)
				on_external_end(keeper);
			break;
		case SOURCE_CHANGE:
			reloading_on_change(keeper);
			break;
		case SOURCE_COMPILER:
			reloading_on_compiler(keeper);
			break;
		default:
			if (i < SOURCE_CONNECTION)
				break; /* on_retired() */
			if (i < first_container)
				server_on_readable(keeper, &keeper->server.v[i - SOURCE_CONNECTION]);
			else
				ended = true;
			break;
		}
	}
	on_retired(keeper, pfds);
	if (ended)
		containers_sweep(&keeper->containers);
}

/* The lock, or -1: a hook has it, or the directory cannot be written now. Both pass. */
static int take_lock(struct keeper *keeper)
{
	int64_t now = clock_now_ms();
	int lock;
	if (!may_end(keeper) || now < keeper->retry_ms)
		return -1;
	if (lock_try(KEEPER_FD_RUN, keeper->key, &lock, NULL) == 0)
		return lock;
	keeper->retry_ms = now + LOCK_RETRY_MS;
	return -1;
}

/* Serves until there is nobody left to serve. Returns the namespace's lock. */
static int serve(struct keeper *keeper)
{
	static struct pollfd pfds[POLL_MAX];
	for (;;) {
		size_t n_connections = keeper->server.n;
		size_t n = gather(keeper, pfds);
		if (poll(pfds, n, poll_timeout(keeper)) < 0) {
			if (errno != EINTR)
				abort();
			continue;
		}
		dispatch(keeper, pfds, n, n_connections);
		server_sweep(keeper);
		look_at_external(keeper);
		reloading_advance(keeper);
		retiring_advance(keeper);
		server_advance(keeper);
		int lock = take_lock(keeper);
		if (lock >= 0)
			return lock;
	}
}

static void unlink_named(const char *key, const char *suffix)
{
	char name[CONTROL_KEY_MAX + 8];
	(void) snprintf(name, sizeof(name), "%s.%s", key, suffix);
	(void) unlinkat(KEEPER_FD_RUN, name, 0);
}

/*
 * The lock goes last, but before an external proxy that may take its time to stop: nobody needs to wait for that,
 * unless the next one in this namespace would want the same port.
 */
static void keeper_end(struct keeper *keeper, int lock)
{
	inherited_drop(KEEPER_FD_LISTENER);
	builtin_stop(&keeper->builtin);
	retiring_stop(keeper);
	reloading_stop(keeper);
	if (keeper->image && keeper->image->external.port)
		external_stop(&keeper->external);
	unlink_named(keeper->key, "sock");
	inherited_drop(KEEPER_FD_CONTROL);
	unlink_named(keeper->key, "lock");
	close(lock);
	external_stop(&keeper->external);
}

static bool key_valid(const char *key)
{
	size_t len = strnlen(key, CONTROL_KEY_MAX + 1);
	return len > 0 && len <= CONTROL_KEY_MAX && strspn(key, "0123456789abcdef") == len;
}

/* For a pidfd per container, and what one message in flight brings. A lower hard limit means fewer containers. */
static void raise_descriptors(void)
{
	const rlim_t want = CONTROL_CONTAINERS_MAX + SERVER_CONNECTIONS_MAX + 64;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int set_up(struct keeper *keeper, const char *stamp, const char *on_failure, struct error *err)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "not dumpable");
	raise_descriptors();

	size_t len;
	int r = imagefile_map(KEEPER_FD_IMAGE, &keeper->image, &len, err);
	if (r < 0)
		return r;
	reloading_init(keeper, stamp, on_failure);

	uint64_t keep = PRIVILEGE_BIT(CAP_SETUID) | PRIVILEGE_BIT(CAP_SETGID) | PRIVILEGE_BIT(CAP_SYS_CHROOT) |
			PRIVILEGE_BIT(CAP_KILL);
	if (keeper->image->proxy == IMAGE_PROXY_EXTERNAL)
		keep |= PRIVILEGE_BIT(CAP_SYS_ADMIN) | PRIVILEGE_BIT(CAP_SYS_PTRACE);
	return privilege_keep(keep, err);
}

int keeper_main(int argc, char **argv)
{
	static struct keeper keeper = {
		.state = CONTROL_STATE_STARTING,
		.builtin = BUILTIN_INIT,
		.external = EXTERNAL_INIT,
		.retiring.program = -1,
		.containers = { .run = KEEPER_FD_RUN },
		.reloading = { .watching = WATCHING_INIT, .compiling = COMPILING_INIT, .due_ms = INT64_MAX },
	};
	struct error err;

	/* A small limit on files and a peer that is gone are errors to be told, not the end of everything. */
	(void) signal(SIGXFSZ, SIG_IGN);
	(void) signal(SIGPIPE, SIG_IGN);
	log_open("oci-egress-keeper");
	if (argc != 4 || !key_valid(argv[0]) || !control_id_valid(argv[1])) {
		log_error("keeper: expected KEY ID STAMP ON_FAILURE");
		return 1;
	}
	if (inherited_take(&err) < 0) {
		log_error("keeper: %s", err.msg);
		return 1;
	}
	keeper.key = argv[0];
	server_add(&keeper.server, fcntl(KEEPER_FD_HOOK, F_DUPFD_CLOEXEC, KEEPER_FD_END), true);
	inherited_drop(KEEPER_FD_HOOK);
	if (set_up(&keeper, argv[2], argv[3], &err) < 0)
		keeper_fail(&keeper, &err);
	else
		keeper_begin(&keeper, argv[1]);

	keeper_end(&keeper, serve(&keeper));
	return 0;
}
