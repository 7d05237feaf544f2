/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "oci/image.h"
#include "proxy/accepting.h"
#include "proxy/access_log.h"
#include "proxy/channel.h"
#include "proxy/conn.h"
#include "proxy/dial.h"
#include "proxy/given.h"
#include "proxy/resolver.h"
#include "proxy/review.h"
#include "proxy/route.h"
#include "proxy/sandbox.h"
#include "proxy/scoreboard.h"
#include "proxy/throttle.h"

#define EVENTS_MAX 64

/* A tunnel's, which it must not lack; while one is dialled it has more, where there are any. */
#define DESCRIPTORS_PER_CONNECTION 2
#define DESCRIPTORS_PER_DIAL (1 + DIAL_ATTEMPTS_MAX)
/* The worker's own, the pipes, and some to dial a second address with. */
#define DESCRIPTORS_RESERVED (64 + 2 * PIPES_MAX + 128)

/* How it was started. */
struct role {
	bool isolated;
	bool listens; /* from the start */
	uint32_t uid;
	uint16_t external_port;
};

struct worker {
	struct source channel, signal, resolver;
	struct accepting accepting;
	struct conns conns;
	struct given given;
	uint32_t descriptors, log_bytes; /* what the kernel holds it to, for life */
	bool retired;                    /* it ends when no connection is left */
	bool stop;
};

static bool parse_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n > max)
		return false;
	*ret = n;
	return true;
}

static int parse_role(int argc, char **argv, struct role *ret, struct error *err)
{
	unsigned long uid, port;
	if (argc == 1 && strcmp(argv[0], "foreground") == 0) {
		*ret = (struct role){ 0 };
		return 0;
	}
	if (argc != 3 || strcmp(argv[0], "isolated") != 0 || !parse_number(argv[1], UINT32_MAX - 1, &uid) ||
		!parse_number(argv[2], UINT16_MAX, &port))
		return error_say(err, EINVAL, "worker: expected foreground, or isolated UID EXTERNAL_PORT");
	*ret = (struct role){ .isolated = true, .uid = (uint32_t) uid, .external_port = (uint16_t) port };
	return 0;
}

/* -- what it works with -- */

/* In the foreground nobody else looks at it. */
static int open_scoreboard(struct conns *conns, const struct role *role, struct error *err)
{
	int fd = WORKER_FD_SCOREBOARD;
	int r = role->isolated ? scoreboard_map(fd, &conns->board, err)
			       : scoreboard_create(conns->image->limits.connections, &fd, &conns->board, err);
	if (r == 0)
		close(fd);
	return r;
}

static uint32_t descriptors_wanted(uint32_t connections)
{
	uint64_t wanted = (uint64_t) connections * DESCRIPTORS_PER_DIAL + DESCRIPTORS_RESERVED;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < wanted)
		wanted = limit.rlim_max;
	return wanted < UINT32_MAX ? (uint32_t) wanted : UINT32_MAX;
}

/* So few that their descriptors never run out: an open tunnel must not suffer from a new one. */
static uint32_t connections_for(uint32_t connections, uint32_t descriptors)
{
	uint32_t most = descriptors > DESCRIPTORS_RESERVED
				? (descriptors - DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_CONNECTION
				: 0;
	if (most == 0)
		most = 1;
	return connections < most ? connections : most;
}

/* What the policy says now, where there is room on the scoreboard and among the descriptors. */
static void apply_limits(struct worker *worker)
{
	const struct conns *conns = &worker->conns;
	uint32_t most = connections_for(conns->image->limits.connections, worker->descriptors);
	worker->accepting.max = most < conns->board->n_slots ? most : conns->board->n_slots;
	resolver_limit(conns->resolver, conns->image->limits.lookups);
}

static int configure_resolver(struct worker *worker, struct error *err)
{
	const struct given *given = &worker->given;
	return resolver_configure(worker->conns.resolver, given->resolvconf.bytes, given->resolvconf.len,
		given->hosts.bytes, given->hosts.len, err);
}

static int raise_descriptors(uint32_t descriptors, struct error *err)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, errno, "getrlimit");
	limit.rlim_cur = descriptors;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, errno, "setrlimit");
	return 0;
}

static int enter_sandbox(const struct role *role, const struct image *image, uint32_t descriptors, struct error *err)
{
	const struct sandbox sandbox = {
		.root = WORKER_FD_ROOT,
		.uid = role->uid,
		.descriptors = descriptors,
		.file_size = image->limits.log_bytes,
	};
	int r = sandbox_enter(&sandbox, err);
	if (r < 0)
		return r;
	close(WORKER_FD_ROOT);
	return 0;
}

/* -- descriptors of the loop -- */

static int open_epoll(struct conns *conns, struct error *err)
{
	conns->epoll = epoll_create1(EPOLL_CLOEXEC);
	return conns->epoll < 0 ? error_set(err, errno, "epoll_create1") : 0;
}

static int watch(struct conns *conns, struct source *source, enum source_kind kind, int fd, struct error *err)
{
	*source = (struct source){ .kind = kind, .fd = fd };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };
	if (epoll_ctl(conns->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return error_set(err, errno, "epoll_ctl of descriptor %d", fd);
	return 0;
}

static int open_signals(int *ret_fd, struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_set(err, errno, "sigprocmask");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_set(err, errno, "signalfd");
	*ret_fd = fd;
	/* a reader that is gone and a log that is full are results of write(2), not the end */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return 0;
}

static int set_nonblocking(int fd, struct error *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_set(err, errno, "fcntl of descriptor %d", fd);
	return 0;
}

static int watch_all(struct worker *worker, const struct role *role, struct error *err)
{
	struct conns *conns = &worker->conns;
	int signals = -1;
	int r = open_signals(&signals, err);
	if (r == 0)
		r = watch(conns, &worker->signal, SOURCE_SIGNAL, signals, err);
	if (r == 0 && role->listens)
		r = set_nonblocking(WORKER_FD_LISTENER, err);
	if (r == 0 && role->listens)
		r = accepting_start(&worker->accepting, WORKER_FD_LISTENER, err);
	if (r == 0)
		r = watch(conns, &worker->resolver, SOURCE_RESOLVER, resolver_fd(conns->resolver), err);
	if (r == 0 && role->isolated)
		r = set_nonblocking(WORKER_FD_CHANNEL, err);
	if (r == 0 && role->isolated)
		r = watch(conns, &worker->channel, SOURCE_CHANNEL, WORKER_FD_CHANNEL, err);
	return r;
}

static void say(uint32_t type, uint32_t value)
{
	const struct channel_message message = { .type = type, .value = value };
	(void) channel_send(WORKER_FD_CHANNEL, &message);
}

/* -- the keeper -- */

/* False: it is none that can be had, and a worker that cannot follow its keeper is of no use. */
static bool take_policy(struct worker *worker, int fd, uint32_t size)
{
	const struct image *before = worker->given.image;
	const void *map;
	if (given_map_later(fd, size, &map) < 0 || image_check(map, size, &worker->given.image, NULL) < 0)
		return false;
	uint32_t log_bytes = worker->given.image->limits.log_bytes;
	uint32_t ended = review_conns(
		&worker->conns, worker->given.image, log_bytes < worker->log_bytes ? log_bytes : worker->log_bytes);
	(void) munmap((void *) (uintptr_t) before, before->size);
	apply_limits(worker);
	say(CHANNEL_REVIEWED, ended);
	return true;
}

/* fd -1: there is no such file any more. Where the new one cannot be had the one before goes on. */
static void take_names(struct worker *worker, struct blob *blob, int fd, uint32_t size)
{
	struct blob stale = *blob;
	const void *map = NULL;
	if (fd >= 0 && given_map_later(fd, size, &map) < 0)
		return;
	*blob = (struct blob){ .bytes = map, .len = map ? size : 0 };
	if (configure_resolver(worker, NULL) < 0) {
		const struct blob good = stale;
		stale = *blob;
		*blob = good;
	}
	if (stale.len > 0)
		(void) munmap((void *) (uintptr_t) stale.bytes, stale.len);
}

static bool take_news(struct worker *worker, const struct channel_message *message, int *fds, size_t n_fds)
{
	int fd = n_fds == 1 ? TAKE_FD(fds[0]) : -1;
	switch (message->type) {
	case CHANNEL_POLICY:
		return fd >= 0 && take_policy(worker, fd, message->value);
	case CHANNEL_RESOLV_CONF:
		take_names(worker, &worker->given.resolvconf, fd, message->value);
		return true;
	default:
		take_names(worker, &worker->given.hosts, fd, message->value);
		return true;
	}
}

static void on_message(struct worker *worker, const struct channel_message *message, int *fds, size_t n_fds)
{
	struct accepting *accepting = &worker->accepting;
	if (message->type == CHANNEL_PROBE && message->value <= UINT16_MAX) {
		accepting_expect(accepting, (uint16_t) message->value);
		if (message->value != 0)
			say(CHANNEL_PROBE_ACK, message->value);
	} else if (message->type == CHANNEL_LOG && n_fds == 1) {
		access_log_exchange(worker->conns.log, TAKE_FD(fds[0]), message->value);
	} else if (message->type == CHANNEL_LISTEN && n_fds == 1 && accepting->listener.fd < 0) {
		if (accepting_start(accepting, TAKE_FD(fds[0]), NULL) < 0)
			worker->stop = true;
	} else if (message->type == CHANNEL_RETIRE) {
		accepting_stop(accepting);
		worker->retired = true;
		say(CHANNEL_RETIRED, 0);
	} else if (message->type >= CHANNEL_POLICY && message->type <= CHANNEL_HOSTS) {
		if (!take_news(worker, message, fds, n_fds))
			worker->stop = true;
	}
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void on_channel(struct worker *worker)
{
	struct channel_message message;
	int fds[IO_FDS_MAX];
	size_t n_fds = 0;
	ssize_t n = io_recv(WORKER_FD_CHANNEL, &message, sizeof(message), fds, &n_fds);
	if (n == (ssize_t) sizeof(message))
		on_message(worker, &message, fds, n_fds);
	else if (n != -EAGAIN)
		worker->stop = true; /* the keeper has ended, or is none of ours */
}

/* -- the loop -- */

static void on_event(struct worker *worker, const struct epoll_event *event)
{
	struct source *source = event->data.ptr;
	switch (source->kind) {
	case SOURCE_LISTENER:
		accepting_event(&worker->accepting, event->events);
		break;
	case SOURCE_CHANNEL:
		on_channel(worker);
		break;
	case SOURCE_SIGNAL:
		worker->stop = true;
		break;
	case SOURCE_RESOLVER:
		resolver_process(worker->conns.resolver);
		break;
	case SOURCE_CLIENT:
	case SOURCE_ORIGIN:
		conn_event(source, event->events);
		break;
	}
}

/* How long epoll_wait(2) may wait; -1: for ever. */
static int wait_ms(struct worker *worker)
{
	struct conns *conns = &worker->conns;
	if (!TAILQ_EMPTY(&conns->ready))
		return 0;
	int64_t next = clock_earlier(timers_next(&conns->timers), accepting_next_ms(&worker->accepting));
	next = clock_earlier(next, throttle_next_ms(conns));
	int64_t left = next == INT64_MAX ? INT64_MAX : next - clock_now_ms();
	int resolver = resolver_timeout_ms(conns->resolver);
	if (resolver >= 0)
		left = clock_earlier(left, resolver);
	if (left == INT64_MAX)
		return -1;
	return left < 0 ? 0 : (int) clock_earlier(left, INT_MAX);
}

static void turn(struct worker *worker)
{
	struct conns *conns = &worker->conns;
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(conns->epoll, events, EVENTS_MAX, wait_ms(worker));
	conns->now_ms = clock_now_ms();
	for (int i = 0; i < n; i++)
		on_event(worker, &events[i]);
	if (resolver_timeout_ms(conns->resolver) == 0)
		resolver_process(conns->resolver);
	conns_run_timers(conns);
	conns_run_ready(conns);
	throttle_run(conns);
	conns_sweep(conns);
	accepting_resume(&worker->accepting);
}

/* Everything that needs a path or a privilege, then the sandbox, then the rest. */
static int open_all(struct worker *worker, const struct role *role, struct error *err)
{
	struct conns *conns = &worker->conns;
	struct given given = { 0 };
	int r = given_map(&given, err);
	conns->image = given.image;
	if (r == 0)
		r = open_epoll(conns, err);
	if (r == 0)
		r = open_scoreboard(conns, role, err);
	if (r == 0)
		r = resolver_new(&conns->resolver, err);
	if (r == 0)
		r = route_open(&conns->route, err);
	if (r == 0)
		r = watch_all(worker, role, err);
	if (r == 0)
		r = access_log_new(WORKER_FD_LOG, given.container.bytes, given.container.len, conns->image,
			role->isolated ? conns->image->limits.log_bytes : 0, role->isolated ? WORKER_FD_CHANNEL : -1,
			&conns->board->counters, &conns->log, err);
	if (r < 0)
		return r;

	worker->given = given;
	worker->descriptors = descriptors_wanted(conns->image->limits.connections);
	worker->log_bytes = conns->image->limits.log_bytes;
	apply_limits(worker);
	r = role->isolated ? enter_sandbox(role, conns->image, worker->descriptors, err)
			   : raise_descriptors(worker->descriptors, err);
	return r < 0 ? r : configure_resolver(worker, err);
}

static void worker_close(struct worker *worker)
{
	struct conns *conns = &worker->conns;
	conns_end_all(conns, REASON_SHUTDOWN);
	pipes_close(&conns->pipes);
	access_log_free(conns->log);
	resolver_free(conns->resolver);
}

int worker_main(int argc, char **argv)
{
	struct role role = { 0 };
	struct error err;
	struct worker worker = { .conns.epoll = -1, .conns.route = -1 };
	conns_init(&worker.conns);

	log_open("oci-egress");
	if (parse_role(argc, argv, &role, &err) < 0) {
		log_error("%s", err.msg);
		return 2;
	}
	worker.accepting = (struct accepting){
		.conns = &worker.conns,
		.listener.fd = -1,
		.channel = role.isolated ? WORKER_FD_CHANNEL : -1,
	};
	/* Before anything is opened, which would take the number. */
	role.listens = fcntl(WORKER_FD_LISTENER, F_GETFD) >= 0;
	worker.conns.external_port = role.external_port;
	if (open_all(&worker, &role, &err) < 0) {
		log_error("worker: %s", err.msg);
		return 1;
	}
	if (role.isolated)
		say(CHANNEL_READY, 0);
	worker.conns.now_ms = clock_now_ms();
	while (!worker.stop && !worker.accepting.closed && !(worker.retired && worker.conns.n == 0))
		turn(&worker);
	worker_close(&worker);
	return worker.accepting.closed ? WORKER_LISTENER_CLOSED : 0;
}
