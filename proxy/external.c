/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/external.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"
#include "proxy/inherited.h"
#include "proxy/init.h"
#include "proxy/listening.h"
#include "proxy/user.h"

#define BACKOFF_MIN_MS 2
#define BACKOFF_MAX_MS 200

/* A port on which a bind(2) succeeds now, as a proxy's own will that sets SO_REUSEADDR; port 0: whichever. */
static int choose_port(uint16_t port, uint16_t *ret, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "socket");
	int on = 1;
	if (port && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return error_set(err, errno, "SO_REUSEADDR");

	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t len = sizeof(sa);
	if (bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
		return error_set(err, errno, "the proxy's port %u on 127.0.0.1", port);
	if (getsockname(fd, (struct sockaddr *) &sa, &len) < 0)
		return error_set(err, errno, "getsockname");
	*ret = ntohs(sa.sin_port);
	return 0;
}

int external_start(struct external *external, const struct image *image, struct error *err)
{
	struct handle handle = {
		.address = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } },
		.pidfd = -1,
		.stop_signal = SIGTERM,
		.stop_timeout_ms = image->external.stop_timeout_ms,
	};
	struct user user;
	int r = user_find(image_string(image, image->external.user), &user, err);
	if (r == 0)
		r = choose_port((uint16_t) image->external.port, &handle.port, err);
	if (r < 0)
		return r;

	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	_cleanup_close_ int theirs = ends[0];
	_cleanup_close_ int ours = ends[1];

	char port[16];
	(void) snprintf(port, sizeof(port), "%u", handle.port);
	const char *const argv[] = { "oci-egress-keeper", "init", port, NULL };
	const int fds[INIT_FD_END - SPAWN_FD_FIRST] = {
		[INIT_FD_IMAGE - SPAWN_FD_FIRST] = KEEPER_FD_IMAGE,
		[INIT_FD_HOME - SPAWN_FD_FIRST] = inherited_fd(KEEPER_FD_HOME),
		[INIT_FD_LIFE - SPAWN_FD_FIRST] = theirs,
	};
	r = spawn_init(KEEPER_FD_PROGRAM, argv, fds, ARRAY_SIZE(fds), &handle.pid, &handle.pidfd, err);
	if (r < 0)
		return r;

	external->image = image;
	external->handle = handle;
	external->uid = user.uid;
	external->life = TAKE_FD(ours);
	external->backoff_ms = BACKOFF_MIN_MS;
	external->next_ms = clock_now_ms() + BACKOFF_MIN_MS;
	external->end_ms = clock_now_ms() + image->startup_timeout_ms;
	return 0;
}

static const char *command(const struct external *external)
{
	const struct image_text *argv = image_records(external->image, external->image->external.argv);
	return external->image->external.argv.count > 0 ? image_string(external->image, argv[0]) : "?";
}

int external_look(struct external *external, struct error *err)
{
	int64_t now = clock_now_ms();
	if (external->listening)
		return 1;
	if (now < external->next_ms)
		return 0;

	external->listening = listening_in(external->handle.pid, external->uid, external->handle.port);
	if (external->listening)
		return 1;
	if (now >= external->end_ms)
		return error_say(err, ETIMEDOUT, "%s does not listen on 127.0.0.1:%u within %u ms", command(external),
			external->handle.port, external->image->startup_timeout_ms);
	external->backoff_ms = external->backoff_ms * 2 < BACKOFF_MAX_MS ? external->backoff_ms * 2 : BACKOFF_MAX_MS;
	external->next_ms =
		now + external->backoff_ms < external->end_ms ? now + external->backoff_ms : external->end_ms;
	return 0;
}

int external_on_end(struct external *external, struct error *err)
{
	int status = handle_reap(&external->handle);
	close(external->life);
	external->life = -1;
	external->listening = false;
	if (WIFSIGNALED(status))
		return error_say(err, EIO, "%s was killed by signal %d", command(external), WTERMSIG(status));
	switch (WEXITSTATUS(status)) {
	case INIT_FAILED:
		return error_say(err, EIO, "%s could not be started", command(external));
	case INIT_CANNOT_EXEC:
		return error_say(err, EIO, "%s could not be executed", command(external));
	case INIT_NOT_FOUND:
		return error_say(err, EIO, "%s was not found", command(external));
	default:
		return error_say(err, EIO, "%s ended with status %d", command(external), WEXITSTATUS(status));
	}
}

void external_stop(struct external *external)
{
	handle_stop(&external->handle);
	if (external->life >= 0)
		close(external->life);
	external->life = -1;
}
