/* SPDX-License-Identifier: Apache-2.0 */
#include "talk_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "oci/policy.h"
#include "proxy/accepting.h"
#include "proxy/access_log.h"
#include "proxy/conn.h"
#include "proxy/resolver.h"
#include "proxy/review.h"
#include "proxy/route.h"
#include "proxy/scoreboard.h"
#include "proxy/throttle.h"
#include "talk.h"

#define SLOTS 16
#define TURNS_MAX 3000 /* without a word from anybody: all bytes that can be under way take fewer */
#define WAKES_MAX 500  /* in one wait */
#define DESCRIPTORS_SEEN 128
#define BEGIN_MS 1000000
#define LOG_BYTES_MAX (1u << 20)

#define NETWORKS "\"networks\":[\"198.51.100.7\",\"198.51.100.10\",\"2001:db8::7\"]"
#define ALLOW                                                                                                  \
	"\"allow\":[\"origin.test\",\"second.test\",\"slow.test\",\"rebind.test\",\"both.test\",\"six.test\"," \
	"\"dns.test\",\"origin.test:81\",\"origin.test:443\"],\"deny\":[\"denied.test\"]," NETWORKS

static const char *const texts[TALK_POLICIES] = {
	"{" ALLOW ",\"ports\":[80,443]}",
	"{" ALLOW ",\"ports\":[80,443],\"sni\":\"off\",\"on_reload\":\"keep\",\"limits\":{\"head_bytes\":1024,"
	"\"response_head_bytes\":1024,\"trailer_bytes\":64,\"head_timeout_ms\":100,\"idle_timeout_ms\":1000}}",
	"{" ALLOW ",\"ports\":[80,443],\"limits\":{\"bytes_per_second_up\":20000,\"bytes_per_second_down\":30000}}",
	"{" ALLOW ",\"ports\":[80,443],\"limits\":{\"total_timeout_ms\":2000,\"connections\":1,"
	"\"connections_per_second\":2,\"lookups\":1}}",
	"{\"allow\":[\"other.test\"]}",
	"{\"allow\":[\"other.test\"],\"on_reload\":\"keep\",\"limits\":{\"bytes_per_second_down\":1000}}",
	"{\"allow\":[\"198.51.100.7\",\"[2001:db8::7]:443\",\"*.origin.test\",\"origin.test\",\"www.test\"],\"deny\":["
	"\"denied.test\"],\"ports\":[80,443],"
	"\"limits\":{\"connections\":2}," NETWORKS "}",
};

static struct image *images[TALK_POLICIES];
static int64_t patience_ms, waited_ms; /* the least that a policy has had; of the script */
static struct conns conns;
static struct accepting accepting;
static struct source resolver_source;
static struct scoreboard *board;
static int log_fd = -1, route_fd = -1;
static char log_text[LOG_BYTES_MAX];
static bool was_open[DESCRIPTORS_SEEN]; /* before the script; the fuzzer itself opens some now and then */

/* The resolver's clock is the script's too. Linked with --wrap. */
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC || conns.now_ms == 0)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){ conns.now_ms / 1000, conns.now_ms % 1000 * 1000000 };
	return 0;
}

void talk_proxy_world(void)
{
	struct error err = { 0 };
	int board_fd = -1;
	for (unsigned i = 0; i < TALK_POLICIES; i++)
		talk_check(policy_compile("policy.json", "fuzz", texts[i], strlen(texts[i]), IMAGE_ON_FAILURE_CLOSED,
				   &images[i], &err) == 0,
			err.msg);
	talk_check(scoreboard_create(SLOTS, &board_fd, &board, &err) == 0, "scoreboard");
	log_fd = memfd_create("log", MFD_CLOEXEC);
	talk_check(fcntl(log_fd, F_SETFL, O_APPEND) == 0, "log");
	talk_check(route_open(&route_fd, &err) == 0, "route");
}

/* -- the loop -- */

static void note_patience(const struct image_limits *limits)
{
	if (limits->idle_timeout_ms < patience_ms)
		patience_ms = limits->idle_timeout_ms;
	if (limits->total_timeout_ms > 0 && limits->total_timeout_ms < patience_ms)
		patience_ms = limits->total_timeout_ms;
}

static void apply_limits(void)
{
	note_patience(&conns.image->limits);
	uint32_t most = conns.image->limits.connections;
	accepting.max = most < SLOTS ? most : SLOTS;
	resolver_limit(conns.resolver, conns.image->limits.lookups);
}

static void open_resolver(void)
{
	struct error err;
	talk_check(resolver_new(&conns.resolver, &err) == 0, "resolver");
	talk_check(resolver_configure(conns.resolver, TALK_RESOLV_CONF, strlen(TALK_RESOLV_CONF), TALK_HOSTS,
			   strlen(TALK_HOSTS), &err) == 0,
		"resolver_configure");
	resolver_source = (struct source){ .kind = SOURCE_RESOLVER, .fd = resolver_fd(conns.resolver) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &resolver_source };
	talk_check(epoll_ctl(conns.epoll, EPOLL_CTL_ADD, resolver_source.fd, &event) == 0, "epoll_ctl");
}

void talk_proxy_begin(unsigned policy, bool external)
{
	struct error err;
	for (int fd = 0; fd < DESCRIPTORS_SEEN; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	patience_ms = INT64_MAX;
	waited_ms = 0;
	memset(&board->counters, 0, sizeof(board->counters));
	talk_check(ftruncate(log_fd, 0) == 0, "ftruncate");

	conns = (struct conns){
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.route = route_fd,
		.image = images[policy % TALK_POLICIES],
		.external_port = external ? TALK_EXTERNAL_PORT : 0,
		.board = board,
		.now_ms = BEGIN_MS,
	};
	conns_init(&conns);
	open_resolver();
	talk_check(access_log_new(log_fd, "container", 9, conns.image, 0, -1, &board->counters, &conns.log, &err) == 0,
		"log");
	accepting = (struct accepting){ .conns = &conns, .listener.fd = -1, .channel = -1 };
	apply_limits();
	talk_check(accepting_start(&accepting, talk.listener, &err) == 0, "accepting_start");
}

void talk_proxy_reload(unsigned policy)
{
	uint32_t n = conns.n;
	uint32_t ended = review_conns(&conns, images[policy % TALK_POLICIES], 0);
	talk_check(ended <= n && (ended == 0 || conns.external_port == 0), "no more end than there are");
	apply_limits();
}

static void on_event(const struct epoll_event *event)
{
	struct source *source = event->data.ptr;
	if (source->kind == SOURCE_LISTENER)
		accepting_event(&accepting, event->events);
	else if (source->kind == SOURCE_RESOLVER)
		resolver_process(conns.resolver);
	else
		conn_event(source, event->events);
}

/* When the loop would wake up of itself; INT64_MAX: never. */
static int64_t wake_ms(void)
{
	if (!TAILQ_EMPTY(&conns.ready))
		return conns.now_ms;
	int64_t next = clock_earlier(timers_next(&conns.timers), accepting_next_ms(&accepting));
	next = clock_earlier(next, throttle_next_ms(&conns));
	int resolver = resolver_timeout_ms(conns.resolver);
	return resolver < 0 ? next : clock_earlier(next, conns.now_ms + resolver);
}

bool talk_proxy_turn(void)
{
	struct epoll_event events[64];
	bool was_paused = accepting.paused;
	int n = epoll_wait(conns.epoll, events, ARRAY_SIZE(events), 0);
	for (int i = 0; i < n; i++)
		on_event(&events[i]);
	if (resolver_timeout_ms(conns.resolver) == 0)
		resolver_process(conns.resolver);
	conns_run_timers(&conns);
	conns_run_ready(&conns);
	throttle_run(&conns);
	(void) conns_sweep(&conns);
	accepting_resume(&accepting);
	talk_accept();
	talk_check(!accepting.closed, "the listener listens");
	talk_check(timers_next(&conns.timers) > conns.now_ms, "what was due is done");
	return n > 0 || wake_ms() <= conns.now_ms || (was_paused && !accepting.paused);
}

void talk_proxy_settle(void)
{
	for (int turns = 0; talk_proxy_turn(); turns++)
		talk_check(turns < TURNS_MAX, "the loop comes to rest");
}

size_t talk_proxy_unsent(void)
{
	size_t all = 0;
	int unsent;
	for (int fd = 0; fd < DESCRIPTORS_SEEN; fd++)
		if (!was_open[fd] && !talk_owns(fd) && ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0)
			all += (size_t) unsent;
	return all;
}

void talk_proxy_wait(int64_t ms)
{
	int64_t until_ms = conns.now_ms + ms;
	waited_ms += ms;
	for (int wakes = 0; wakes < WAKES_MAX && wake_ms() < until_ms; wakes++) {
		conns.now_ms = wake_ms();
		talk_proxy_settle();
	}
	conns.now_ms = until_ms;
	talk_proxy_settle();
}

bool talk_proxy_wake(void)
{
	int64_t next = wake_ms();
	if (next == INT64_MAX)
		return false;
	conns.now_ms = next;
	talk_proxy_settle();
	return true;
}

/* -- the end -- */

static void check_rest(void)
{
	talk_check(conns.n == 0 && TAILQ_EMPTY(&conns.open), "no connection outlives its deadlines");
	talk_check(TAILQ_EMPTY(&conns.ready) && TAILQ_EMPTY(&conns.done), "no list has any");
	talk_check(timers_next(&conns.timers) == INT64_MAX, "no timer runs");
	talk_check(TAILQ_EMPTY(&conns.throttle.queue) && conns.throttle.n_waiting[0] == 0 &&
			   conns.throttle.n_waiting[1] == 0 && conns.throttle.served == NULL,
		"nobody waits for bytes");
	talk_check(conns.pipes.n == conns.pipes.n_open, "all pipes were given back");
	for (uint32_t i = 0; i < board->n_slots; i++)
		talk_check(board->slots[i].used == 0, "no slot is used");
	talk_check(conns.first_slot == 0, "the first slot is free");
}

static void check_descriptors(void)
{
	for (int fd = 0; fd < DESCRIPTORS_SEEN; fd++)
		talk_check(was_open[fd] || fcntl(fd, F_GETFD) < 0, "all descriptors are closed");
}

static bool says(const char *line, const char *what)
{
	return strstr(line, what) != NULL;
}

static void read_log(struct talk_log *ret)
{
	ssize_t n = pread(log_fd, log_text, sizeof(log_text) - 1, 0);
	talk_check(n >= 0 && n < (ssize_t) sizeof(log_text) - 1, "the log is short");
	log_text[n] = '\0';
	*ret = (struct talk_log){ .was_long = waited_ms >= patience_ms };
	for (char *line = log_text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		talk_check(end && line[0] == '{' && end[-1] == '}', "a line is an object");
		*end = '\0';
		if (says(line, "\"event\":"))
			continue;
		ret->n_lines++;
		ret->n_http += says(line, "\"via\":\"http\"");
		ret->n_allowed += says(line, "\"reason\":\"allowed\"");
		bool denied = says(line, "\"verdict\":\"denied\"");
		ret->n_denied += denied;
		ret->n_unreached += denied && !says(line, "\"reason\":\"sni-mismatch\"");
	}
}

static void check_counters(const struct talk_log *log)
{
	const struct scoreboard_counters *counters = &board->counters;
	uint64_t reasons = 0;
	for (int i = 0; i < REASON_COUNT; i++)
		if (i < REASON_LIMIT_CONNECTIONS || i > REASON_LIMIT_BYTES || i == REASON_LIMIT_LOOKUPS)
			reasons += counters->reasons[i];
	talk_check(counters->open == 0, "none is open");
	talk_check(counters->lines_lost == 0, "no line was lost");
	talk_check(counters->allowed + counters->denied + counters->failed == log->n_lines, "a line is counted once");
	talk_check(reasons == log->n_lines, "each line's reason is counted");
	talk_check(counters->denied == log->n_denied, "denied is what the log calls so");
	talk_check(log->n_http > 0 ? counters->accepted <= log->n_lines : counters->accepted == log->n_lines,
		"each connection has its line");
}

void talk_proxy_end(struct talk_log *ret)
{
	check_rest();
	read_log(ret);
	check_counters(ret);
	pipes_close(&conns.pipes);
	access_log_free(conns.log);
	resolver_free(conns.resolver);
	close(conns.epoll);
	conns.now_ms = 0;
	check_descriptors();
}
