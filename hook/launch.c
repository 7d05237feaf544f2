/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/spawn.h"
#include "hook/home.h"
#include "hook/snapshot.h"
#include "proxy/compiling.h"
#include "proxy/control.h"
#include "proxy/keeper.h"

#define ANSWER_TIMEOUT_MS 5000 /* of the keeper, for what waits for nobody else */

int launch_find(const struct launch_place *place, const struct plan *plan, struct launch *ret, struct error *err)
{
	int r = control_connect(place->run, plan->key, &ret->control, err);
	if (r == -ECONNREFUSED) {
		(void) error_say(
			err, EEXIST, "the keeper of this network namespace was killed and its link may not be gone");
		return error_close(err);
	}
	return r;
}

/* A directory that has no name and that nothing can be made in: the worker's root. */
static int empty_directory(int run, int *ret_fd, struct error *err)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_set(err, errno, "getrandom");
	char name[32];
	(void) snprintf(name, sizeof(name), ".root-%016llx", (unsigned long long) random);

	_cleanup_close_ int lock = -1;
	int r = rundir_lock_drafts(run, true, &lock, err);
	if (r < 0)
		return r;
	if (mkdirat(run, name, 0500) < 0) /* the keeper has no CAP_DAC_OVERRIDE by which to enter one of mode 0 */
		return error_set(err, errno, "make the worker's empty root");
	_cleanup_close_ int fd = openat(run, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int failure = fd < 0 ? errno : 0;
	if (unlinkat(run, name, AT_REMOVEDIR) < 0 && failure == 0)
		failure = errno;
	if (failure)
		return error_set(err, failure, "open the worker's empty root");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* bind(2) takes 107 bytes of path: through the directory's descriptor any run directory will do. */
static int control_socket(int run, const char *key, int *ret_fd, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void) snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s.sock", run, key);

	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "control socket");
	if (bind(fd, (const struct sockaddr *) &addr, sizeof(addr)) < 0)
		return error_set(err, errno, "bind control socket %s.sock", key);
	if (listen(fd, 64) < 0)
		return error_set(err, errno, "listen on control socket %s.sock", key);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What only a keeper needs, collected; closed here when the keeper has it. */
struct parcel {
	int fds[KEEPER_FD_END - SPAWN_FD_FIRST];
};

static int *parcel_at(struct parcel *parcel, enum keeper_fd fd)
{
	return &parcel->fds[(int) fd - SPAWN_FD_FIRST];
}

static void parcel_close(struct parcel *parcel)
{
	for (size_t i = 0; i < ARRAY_SIZE(parcel->fds); i++)
		cleanup_close(&parcel->fds[i]);
}

static int parcel_fill(
	struct parcel *parcel, const struct launch_place *place, const struct plan *plan, struct error *err)
{
	int r = rundir_open(place->log, parcel_at(parcel, KEEPER_FD_LOG_DIR), err);
	if (r < 0)
		return r;
	r = snapshot("/etc/resolv.conf", parcel_at(parcel, KEEPER_FD_RESOLV_CONF), err);
	if (r < 0)
		return r;
	r = snapshot("/etc/hosts", parcel_at(parcel, KEEPER_FD_HOSTS), err);
	if (r < 0)
		return r;
	r = empty_directory(place->run, parcel_at(parcel, KEEPER_FD_ROOT), err);
	if (r < 0)
		return r;
	if (plan->image->proxy == IMAGE_PROXY_EXTERNAL) {
		r = home_open(place->state, plan->image, parcel_at(parcel, KEEPER_FD_HOME), err);
		if (r < 0)
			return r;
	}

	int program = open(place->keeper, O_PATH | O_CLOEXEC);
	if (program < 0)
		return error_set(err, errno, "the keeper's program %s", place->keeper);
	*parcel_at(parcel, KEEPER_FD_PROGRAM) = program;
	*parcel_at(parcel, KEEPER_FD_COMPILER) = open("/proc/self/exe", O_PATH | O_CLOEXEC); /* -1: none follows */
	return control_socket(place->run, plan->key, parcel_at(parcel, KEEPER_FD_CONTROL), err);
}

static int start(const struct launch_place *place, const struct plan *plan, struct parcel *parcel, struct launch *ret,
	struct error *err)
{
	int r = parcel_fill(parcel, place, plan, err);
	if (r < 0)
		return r;

	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(err, errno, "socketpair");
	_cleanup_close_ int ours = ends[0];
	*parcel_at(parcel, KEEPER_FD_HOOK) = ends[1];

	struct parcel all = *parcel; /* with what stays ours */
	*parcel_at(&all, KEEPER_FD_RUN) = place->run;
	*parcel_at(&all, KEEPER_FD_IMAGE) = plan->image_fd;

	const char *const argv[] = { "oci-egress-keeper", "keeper", plan->key, plan->state->id, plan->stamp,
		place->on_failure == IMAGE_ON_FAILURE_OPEN ? "open" : "closed", NULL };
	r = spawn(*parcel_at(parcel, KEEPER_FD_PROGRAM), argv, all.fds, ARRAY_SIZE(all.fds), &ret->keeper, NULL, err);
	if (r < 0)
		return r;
	ret->control = TAKE_FD(ours);
	return 0;
}

int launch_start(const struct launch_place *place, const struct plan *plan, struct launch *ret, struct error *err)
{
	struct parcel parcel;
	for (size_t i = 0; i < ARRAY_SIZE(parcel.fds); i++)
		parcel.fds[i] = -1;

	int r = start(place, plan, &parcel, ret, err);
	parcel_close(&parcel);
	if (r < 0)
		rundir_remove_socket(place->run, plan->key);
	return r;
}

int launch_listen(const struct launch *launch, const struct link *link, struct error *err)
{
	return control_listen(launch->control, link->listener, err);
}

/* Connects from inside the container's namespace, from a port that the worker knows to be ours. */
static int prove_path(int control, const struct plan *plan, const struct link *link, int timeout_ms, struct error *err)
{
	_cleanup_close_ int probe = -1;
	uint16_t port;
	int r = link_probe_socket(plan->netns, link, &probe, &port, err);
	if (r < 0)
		return r;
	r = control_probe(control, port, timeout_ms, err);
	if (r < 0)
		return r;

	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(link->port), .sin_addr = link->proxy };
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_MS / 1000 };
	(void) setsockopt(probe, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* bounds connect(2) too, socket(7) */
	/* What goes wrong between those two ends can be the work of whoever else is in the namespace. */
	if (connect(probe, (const struct sockaddr *) &to, sizeof(to)) < 0) {
		(void) error_set(err, errno, "connect to the proxy from inside the container");
		return error_close(err);
	}
	r = control_wait_ready(control, ANSWER_TIMEOUT_MS, err);
	return r < 0 ? error_close(err) : 0;
}

int launch_prove(struct launch *launch, const struct plan *plan, const struct link *link, struct error *err)
{
	/* A keeper that was there may be compiling a new version of the policy, and answers when that holds. */
	int timeout_ms = launch->keeper > 0 ? ANSWER_TIMEOUT_MS : COMPILING_ANSWER_TIMEOUT_MS;
	bool other_gate;
	int r = control_join(
		launch->control, plan->state->id, plan->pidfd, plan->image_fd, timeout_ms, &other_gate, err);
	if (r < 0)
		return error_wrap(err, "join the keeper");
	if (other_gate) {
		(void) error_say(err, EAGAIN,
			"direct, inbound or gate of policy %s was changed while this container was starting; start it "
			"again",
			plan->policy);
		return error_close(err);
	}

	/* The keeper gives up by itself after startup_timeout_ms, and says why. */
	timeout_ms = (int) plan->image->startup_timeout_ms + ANSWER_TIMEOUT_MS;
	r = prove_path(launch->control, plan, link, timeout_ms, err);
	return r < 0 ? error_wrap(err, "start the proxy") : 0;
}

int launch_commit(struct launch *launch, struct error *err)
{
	return control_commit(launch->control, ANSWER_TIMEOUT_MS, err);
}

void launch_undo(struct launch *launch)
{
	if (launch->keeper > 0) {
		/* Nobody else's container is there: we hold the lock. Its children die with it (PR_SET_PDEATHSIG,
		 * prctl(2)). */
		(void) kill(launch->keeper, SIGKILL);
		(void) waitpid(launch->keeper, NULL, 0);
	}
	launch_clear(launch);
}

void launch_clear(struct launch *launch)
{
	cleanup_close(&launch->control);
	*launch = LAUNCH_EMPTY;
}
