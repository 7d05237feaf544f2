/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question is one name that is being asked for, by a query for each family. Whatever happens to it (an answer, a
 * moment that has come) only marks it; resolver_process() and resolver_start() then take it further, in one place:
 *
 *     question_run()   query_run() for what is not known yet
 *                      tell those who wait, where there is something to tell
 *                      end, where both families are known
 */
#include "proxy/resolver.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proxy/dns_cache.h"
#include "proxy/dns_message.h"
#include "proxy/hostsfile.h"
#include "proxy/query.h"
#include "proxy/resolvconf.h"
#include "proxy/servers.h"

#define LIMIT 64 /* until it is told */

struct resolver {
	struct servers servers;
	struct hostsfile *hosts;
	struct dns_cache cache;
	struct resolver_counters counters;
	uint32_t n_questions, max_questions;
	int64_t next_ms;                           /* no question is due earlier */
	TAILQ_HEAD(questions, question) questions; /* the oldest first */
	TAILQ_HEAD(marked, question) marked;
};

/* One name that is asked for. Lives until both families have ended, whoever still waits for it. */
struct question {
	TAILQ_ENTRY(question) entry, mark;
	struct resolver *resolver;
	char name[HOST_NAME_MAX_LEN + 1];
	TAILQ_HEAD(lookups, lookup) lookups;
	bool is_marked;
	unsigned telling; /* how often it is: it must not go away */
	int64_t found_ms; /* when the first addresses were there; -1: there are none */
	bool known[2];
	struct dns_answer answers[2]; /* of the families that are known */
	struct query queries[2];      /* of those that are not */
};

/* One who waits. */
struct lookup {
	TAILQ_ENTRY(lookup) entry;
	struct question *question;
	resolver_done *done;
	void *arg;
};

static const enum dns_type types[2] = { DNS_AAAA, DNS_A };

/* -- questions -- */

static void mark(struct question *question)
{
	if (!question->is_marked)
		TAILQ_INSERT_TAIL(&question->resolver->marked, question, mark);
	question->is_marked = true;
}

static void unmark(struct question *question)
{
	if (question->is_marked)
		TAILQ_REMOVE(&question->resolver->marked, question, mark);
	question->is_marked = false;
}

static void stop_queries(struct question *question)
{
	for (int i = 0; i < 2; i++)
		if (!question->known[i])
			query_stop(&question->queries[i]);
}

static void question_free(struct question *question)
{
	struct resolver *resolver = question->resolver;
	stop_queries(question);
	unmark(question);
	TAILQ_REMOVE(&resolver->questions, question, entry);
	resolver->n_questions--;
	free(question);
}

static void on_changed(void *arg)
{
	mark(arg);
}

static void know(struct question *question, int i, const struct dns_answer *answer, int64_t now_ms)
{
	question->known[i] = true;
	question->answers[i] = *answer;
	if (answer->verdict == DNS_ADDRESSES && question->found_ms < 0)
		question->found_ms = now_ms;
}

static void learn(struct question *question, int i, int64_t now_ms)
{
	struct resolver *resolver = question->resolver;
	const struct dns_answer *answer = &question->queries[i].answer;
	resolver->counters.failures += answer->verdict >= DNS_SILENT;
	resolver->counters.timeouts += answer->verdict == DNS_SILENT;
	dns_cache_put(&resolver->cache, question->name, types[i], answer, now_ms);
	know(question, i, answer, now_ms);
}

static void ask(struct question *question, int i, int64_t now_ms)
{
	struct resolver *resolver = question->resolver;
	struct dns_answer answer;
	uint16_t ids[SERVERS_MAX];
	question->known[i] = false;
	question->answers[i] = (struct dns_answer){ 0 };
	if (dns_cache_get(&resolver->cache, question->name, types[i], now_ms, &answer)) {
		know(question, i, &answer, now_ms);
		return;
	}
	if (getrandom(ids, sizeof(ids), 0) != (ssize_t) sizeof(ids))
		abort(); /* so few bytes always come, getrandom(2) */
	query_start(
		&question->queries[i], &resolver->servers, question->name, types[i], ids, on_changed, question, now_ms);
}

static void question_begin(struct question *question, int64_t now_ms)
{
	question->found_ms = -1;
	for (int i = 0; i < 2; i++)
		ask(question, i, now_ms);
}

/* One family has had its answer for long, the other none yet: is that of the first still good? */
static void question_renew(struct question *question, int64_t now_ms)
{
	int64_t found_ms = question->found_ms;
	question->found_ms = -1;
	for (int i = 0; i < 2; i++)
		if (question->known[i])
			ask(question, i, now_ms);
	if (question->found_ms >= 0)
		question->found_ms = found_ms;
}

/* When it must be run if nothing happens. */
static int64_t due_ms(const struct question *question)
{
	int64_t due = INT64_MAX;
	for (int i = 0; i < 2; i++)
		if (!question->known[i])
			due = clock_earlier(due, query_due_ms(&question->queries[i]));
	if (question->found_ms >= 0 && !TAILQ_EMPTY(&question->lookups))
		due = clock_earlier(due, question->found_ms + RESOLVER_DELAY_MS);
	return due;
}

/* -- telling -- */

static bool has_ended(const struct question *question)
{
	return question->known[0] && question->known[1];
}

/* What both families together come to. That of one that is not known is empty. */
static size_t copy_addresses(const struct dns_answer answers[2], struct address addresses[RESOLVER_ADDRESSES_MAX])
{
	memcpy(addresses, answers[0].addresses, answers[0].n * sizeof(addresses[0]));
	memcpy(addresses + answers[0].n, answers[1].addresses, answers[1].n * sizeof(addresses[0]));
	return (size_t) answers[0].n + answers[1].n;
}

/* Without an address: that a name has nothing of one family says less than that the servers fail for the other. */
static enum reason reason_of(const struct dns_answer answers[2])
{
	switch (answers[0].verdict > answers[1].verdict ? answers[0].verdict : answers[1].verdict) {
	case DNS_UNASKED:
		return REASON_LIMIT_RESOURCES;
	case DNS_FAILED:
		return REASON_RESOLVE_ERROR;
	case DNS_SILENT:
		return REASON_RESOLVE_TIMEOUT;
	default:
		return REASON_RESOLVE_FAILED;
	}
}

static void call_done(resolver_done *done, void *arg, const struct dns_answer answers[2])
{
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	size_t n = copy_addresses(answers, addresses);
	if (n > 0)
		done(arg, REASON_NONE, addresses, n);
	else
		done(arg, reason_of(answers), NULL, 0);
}

/* Who is told may look names up, and give up others, this one as well. */
static void tell(struct question *question)
{
	question->telling++;
	for (struct lookup *lookup; (lookup = TAILQ_FIRST(&question->lookups));) {
		resolver_done *done = lookup->done;
		void *arg = lookup->arg;
		TAILQ_REMOVE(&question->lookups, lookup, entry);
		free(lookup);
		call_done(done, arg, question->answers);
	}
	question->telling--;
}

static bool may_tell(const struct question *question, int64_t now_ms)
{
	return has_ended(question) || (question->found_ms >= 0 && now_ms - question->found_ms >= RESOLVER_DELAY_MS);
}

/* Returns whether nobody waits for it any more. */
static bool question_run(struct question *question, int64_t now_ms)
{
	struct resolver *resolver = question->resolver;
	unmark(question);
	for (int i = 0; i < 2; i++)
		if (!question->known[i] && query_run(&question->queries[i], now_ms))
			learn(question, i, now_ms);
	bool tells = may_tell(question, now_ms);
	if (tells)
		tell(question);
	if (has_ended(question) && question->telling == 0)
		question_free(question);
	else
		resolver->next_ms = clock_earlier(resolver->next_ms, due_ms(question));
	return tells;
}

/* -- the loop -- */

static void mark_due(struct resolver *resolver, int64_t now_ms)
{
	struct question *question;
	if (now_ms < resolver->next_ms)
		return;
	resolver->next_ms = INT64_MAX;
	TAILQ_FOREACH(question, &resolver->questions, entry)
	{
		int64_t due = due_ms(question);
		if (due <= now_ms)
			mark(question);
		else
			resolver->next_ms = clock_earlier(resolver->next_ms, due);
	}
}

void resolver_process(struct resolver *resolver)
{
	int64_t now_ms = clock_now_ms();
	servers_process(&resolver->servers, now_ms);
	mark_due(resolver, now_ms);
	for (struct question *question; (question = TAILQ_FIRST(&resolver->marked));)
		(void) question_run(question, now_ms);
}

int resolver_timeout_ms(const struct resolver *resolver)
{
	int64_t next = TAILQ_EMPTY(&resolver->questions) ? INT64_MAX : resolver->next_ms;
	next = clock_earlier(next, servers_due_ms(&resolver->servers));
	if (next == INT64_MAX)
		return -1;
	int64_t left = next - clock_now_ms();
	return left > 0 ? (int) left : 0;
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->servers.epoll;
}

/* -- looking up -- */

static bool find_in_hosts(struct resolver *resolver, const struct host *host, resolver_done *done, void *arg)
{
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	size_t n = 0;
	if (resolver->hosts)
		n = hostsfile_find(resolver->hosts, host, addresses, ARRAY_SIZE(addresses));
	resolver->counters.known += n > 0;
	if (n > 0)
		done(arg, REASON_NONE, addresses, n);
	return n > 0;
}

/* Where both families are known. */
static bool find_in_cache(
	struct resolver *resolver, const struct host *host, int64_t now_ms, resolver_done *done, void *arg)
{
	struct dns_answer answers[2];
	for (int i = 0; i < 2; i++)
		if (!dns_cache_get(&resolver->cache, host->name, types[i], now_ms, &answers[i]))
			return false;
	resolver->counters.known++;
	call_done(done, arg, answers);
	return true;
}

static struct question *find_question(struct resolver *resolver, const struct host *host)
{
	struct question *question;
	TAILQ_FOREACH(question, &resolver->questions, entry)
	if (!has_ended(question) && strcmp(question->name, host->name) == 0)
		return question;
	return NULL;
}

/* Nobody waits any more for names that were given up: they make room. */
static bool has_room(struct resolver *resolver)
{
	struct question *question;
	if (resolver->n_questions < resolver->max_questions)
		return true;
	TAILQ_FOREACH(question, &resolver->questions, entry)
	if (TAILQ_EMPTY(&question->lookups) && question->telling == 0) {
		question_free(question);
		return true;
	}
	return false;
}

static struct question *question_new(struct resolver *resolver, const struct host *host, int64_t now_ms)
{
	struct question *question = calloc(1, sizeof(*question));
	if (!question)
		return NULL;
	question->resolver = resolver;
	memcpy(question->name, host->name, host->len + 1u);
	TAILQ_INIT(&question->lookups);
	TAILQ_INSERT_TAIL(&resolver->questions, question, entry);
	resolver->n_questions++;
	question_begin(question, now_ms);
	return question;
}

static struct question *join(struct resolver *resolver, const struct host *host, int64_t now_ms)
{
	struct question *question = find_question(resolver, host);
	if (!question)
		return question_new(resolver, host, now_ms);
	if (may_tell(question, now_ms))
		question_renew(question, now_ms);
	else
		resolver->counters.shared++;
	return question;
}

void resolver_start(
	struct resolver *resolver, const struct host *host, resolver_done *done, void *arg, struct lookup **ret_lookup)
{
	int64_t now_ms = clock_now_ms();
	*ret_lookup = NULL;
	resolver->counters.lookups++;
	if (find_in_hosts(resolver, host, done, arg) || find_in_cache(resolver, host, now_ms, done, arg))
		return;
	if (!find_question(resolver, host) && !has_room(resolver)) {
		done(arg, REASON_LIMIT_LOOKUPS, NULL, 0);
		return;
	}
	struct lookup *lookup = malloc(sizeof(*lookup));
	struct question *question = lookup ? join(resolver, host, now_ms) : NULL;
	if (!question) {
		free(lookup);
		done(arg, REASON_LIMIT_RESOURCES, NULL, 0);
		return;
	}
	*lookup = (struct lookup){ .question = question, .done = done, .arg = arg };
	TAILQ_INSERT_TAIL(&question->lookups, lookup, entry);
	if (!question_run(question, now_ms))
		*ret_lookup = lookup;
}

size_t resolver_cancel(struct lookup *lookup, struct address addresses[RESOLVER_ADDRESSES_MAX])
{
	struct question *question = lookup->question;
	TAILQ_REMOVE(&question->lookups, lookup, entry);
	free(lookup);
	return copy_addresses(question->answers, addresses);
}

/* -- life -- */

int resolver_new(struct resolver **ret, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		return error_set(err, ENOMEM, "resolver");
	resolver->servers.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (resolver->servers.epoll < 0) {
		int r = error_set(err, errno, "epoll_create1");
		free(resolver);
		return r;
	}
	resolver->max_questions = LIMIT;
	resolver->next_ms = INT64_MAX;
	TAILQ_INIT(&resolver->questions);
	TAILQ_INIT(&resolver->marked);
	*ret = resolver;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	for (struct question *question; (question = TAILQ_FIRST(&resolver->questions));) {
		for (struct lookup *lookup; (lookup = TAILQ_FIRST(&question->lookups));) {
			TAILQ_REMOVE(&question->lookups, lookup, entry);
			free(lookup);
		}
		question_free(question);
	}
	servers_set(&resolver->servers, NULL, 0);
	dns_cache_clear(&resolver->cache);
	hostsfile_free(resolver->hosts);
	close(resolver->servers.epoll);
	free(resolver);
}

static void change_servers(struct resolver *resolver, const struct resolvconf_server *servers, size_t n)
{
	struct question *question, *next;
	int64_t now_ms = clock_now_ms();
	TAILQ_FOREACH(question, &resolver->questions, entry)
	stop_queries(question);
	servers_set(&resolver->servers, servers, n);
	dns_cache_clear(&resolver->cache);
	for (question = TAILQ_FIRST(&resolver->questions); question; question = next) {
		next = TAILQ_NEXT(question, entry);
		if (TAILQ_EMPTY(&question->lookups))
			question_free(question);
		else
			question_begin(question, now_ms);
	}
	resolver->next_ms = now_ms;
}

int resolver_configure(struct resolver *resolver, const char *resolvconf, size_t resolvconf_len, const char *hosts,
	size_t hosts_len, struct error *err)
{
	struct hostsfile *hostsfile = NULL;
	int r = hosts ? hostsfile_new(hosts, hosts_len, &hostsfile, err) : 0;
	if (r < 0)
		return r;
	hostsfile_free(resolver->hosts);
	resolver->hosts = hostsfile;

	struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX];
	size_t n = resolvconf_servers(resolvconf ? resolvconf : "", resolvconf_len, servers);
	if (!servers_are(&resolver->servers, servers, n))
		change_servers(resolver, servers, n);
	return 0;
}

void resolver_limit(struct resolver *resolver, uint32_t names)
{
	resolver->max_questions = names;
}

struct resolver_counters resolver_counters(const struct resolver *resolver)
{
	struct resolver_counters counters = resolver->counters;
	counters.queries = resolver->servers.sent;
	return counters;
}
