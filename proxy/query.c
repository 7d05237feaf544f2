/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/query.h"

#include <errno.h>
#include <string.h>

static uint8_t bit(uint8_t server)
{
	return (uint8_t) (1u << server);
}

static uint8_t all_servers(const struct query *query)
{
	return (uint8_t) ((1u << query->servers->n) - 1);
}

void query_start(struct query *query, struct servers *servers, const char *name, enum dns_type type,
	const uint16_t ids[SERVERS_MAX], query_changed *changed, void *arg, int64_t now_ms)
{
	*query = (struct query){
		.servers = servers,
		.name = name,
		.type = type,
		.changed = changed,
		.arg = arg,
		.started_ms = now_ms,
		.next_ms = now_ms,
	};
	memcpy(query->ids, ids, sizeof(query->ids));
	servers_order(servers, query->order);
}

void query_stop(struct query *query)
{
	for (int i = 0; i < query->n_tries; i++)
		if (query->tries[i].asked)
			name_server_forget(query->tries[i].asked);
	query->n_tries = 0;
}

static void end(struct query *query, const struct dns_answer *answer)
{
	query_stop(query);
	query->has_ended = true;
	query->answer = *answer;
}

/* -- answers -- */

/* Are all servers that come before this one out of the way? */
static bool is_first(const struct query *query, uint8_t server)
{
	for (int i = 0; query->order[i] != server; i++) {
		uint8_t before = query->order[i];
		if (!(query->failed & bit(before)) && !servers_is_silent(query->servers, before))
			return false;
	}
	return true;
}

/* Others have answered, and these have had their time. */
static void blame_silent(const struct query *query, int64_t patience_ms, int64_t now_ms)
{
	for (int i = 0; i < query->n_tries; i++) {
		const struct query_try *try = &query->tries[i];
		if (try->asked && now_ms - try->sent_ms >= patience_ms)
			servers_blame(query->servers, try->server, try->sent_ms, now_ms);
	}
}

static void note_failure(struct query *query, uint8_t server, int64_t now_ms)
{
	query->failed |= bit(server);
	if (all_servers(query) & ~query->asked & ~query->failed)
		query->next_ms = now_ms;
}

static void take_answer(struct query *query, uint8_t server, const struct dns_answer *answer, int64_t now_ms)
{
	if (answer->verdict == DNS_FAILED) {
		note_failure(query, server, now_ms);
	} else if (answer->verdict == DNS_ADDRESSES || is_first(query, server)) {
		blame_silent(query, QUERY_PATIENCE_MS, now_ms);
		end(query, answer);
	} else if (!query->has_none) {
		query->has_none = true;
		query->none_from = server;
		query->answer = *answer;
	}
}

static size_t write_query(const struct query *query, uint8_t server, uint8_t buf[DNS_QUERY_MAX])
{
	return dns_write_query(query->name, query->type, query->ids[server], buf);
}

/* Descriptors, memory or ports; of the latter connect(2) of a datagram socket says EAGAIN. */
static bool is_lack(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EAGAIN ||
	       error == EADDRNOTAVAIL;
}

static void on_answer(void *arg, const uint8_t *bytes, size_t len, int error, int64_t now_ms)
{
	struct query_try *try = arg;
	struct query *query = try->query;
	struct dns_answer answer = { .verdict = DNS_FAILED };
	try->asked = NULL;
	if (bytes) {
		uint8_t question[DNS_QUERY_MAX];
		dns_parse_answer(bytes, len, question, write_query(query, try->server, question), &answer);
	} else if (is_lack(error)) {
		query->lacks = true;
	} else {
		servers_blame(query->servers, try->server, try->sent_ms, now_ms);
	}
	take_answer(query, try->server, &answer, now_ms);
	query->changed(query->arg);
}

/* -- asking -- */

static bool send_try(struct query *query, uint8_t server, int64_t now_ms)
{
	uint8_t question[DNS_QUERY_MAX];
	size_t len = write_query(query, server, question);
	struct query_try *try = &query->tries[query->n_tries];
	*try = (struct query_try){ .query = query, .sent_ms = now_ms, .server = server };
	if (len > 0)
		try->asked = servers_ask(query->servers, server, question, len, now_ms, on_answer, try);
	if (!try->asked) {
		query->lacks |= len > 0 && is_lack(errno);
		return false;
	}
	query->n_tries++;
	return true;
}

/* The next in the query's order, and when there is none, all of them once more. -1: all have failed. */
static int next_server(struct query *query)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < query->servers->n; i++)
			if (!((query->asked | query->failed) & bit(query->order[i])))
				return query->order[i];
		query->asked = 0;
		query->round++;
	}
	return -1;
}

/* One that has an occasion is asked beside the first, not instead of it. */
static void ask_silent(struct query *query, int64_t now_ms)
{
	for (int i = 1; i < query->servers->n && query->n_tries < QUERY_TRIES_MAX; i++)
		if (servers_take_occasion(query->servers, query->order[i], now_ms))
			(void) send_try(query, query->order[i], now_ms);
}

static void ask_next(struct query *query, int64_t now_ms)
{
	bool is_first_try = query->n_tries == 0;
	query->next_ms = INT64_MAX;
	while (query->n_tries < QUERY_TRIES_MAX) {
		int server = next_server(query);
		if (server < 0)
			return;
		query->asked |= bit((uint8_t) server);
		if (send_try(query, (uint8_t) server, now_ms)) {
			query->next_ms = now_ms + ((int64_t) QUERY_PATIENCE_MS << query->round);
			break;
		}
		query->failed |= bit((uint8_t) server);
	}
	if (is_first_try)
		ask_silent(query, now_ms);
}

static void end_without(struct query *query, enum dns_verdict verdict)
{
	end(query, &(const struct dns_answer){ .verdict = verdict });
}

bool query_run(struct query *query, int64_t now_ms)
{
	int64_t passed_ms = now_ms - query->started_ms;
	if (query->has_ended)
		return true;
	if (query->has_none && (passed_ms >= QUERY_LONG_PATIENCE_MS || is_first(query, query->none_from))) {
		const struct dns_answer none = query->answer;
		blame_silent(query, QUERY_LONG_PATIENCE_MS, now_ms);
		end(query, &none);
		return true;
	}
	if (now_ms >= query->next_ms && passed_ms < QUERY_MS)
		ask_next(query, now_ms);
	if (query->failed == all_servers(query))
		end_without(query, query->lacks ? DNS_UNASKED : DNS_FAILED);
	else if (passed_ms >= QUERY_MS)
		end_without(query, DNS_SILENT);
	return query->has_ended;
}

int64_t query_due_ms(const struct query *query)
{
	int64_t due_ms = query->started_ms + (query->has_none ? QUERY_LONG_PATIENCE_MS : QUERY_MS);
	if (query->has_ended)
		return INT64_MIN;
	return query->next_ms < due_ms ? query->next_ms : due_ms;
}
