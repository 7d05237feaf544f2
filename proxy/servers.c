/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/servers.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"

#define EVENTS_MAX 16
#define OCCASION_MS 30000

void servers_set(struct servers *servers, const struct resolvconf_server *where, size_t n)
{
	for (int i = 0; i < servers->n; i++)
		name_server_free(servers->v[i].line);
	for (size_t i = 0; i < n; i++)
		servers->v[i] = (struct server){ .where = where[i], .silent_ms = -1 };
	servers->n = (uint8_t) n;
}

bool servers_are(const struct servers *servers, const struct resolvconf_server *where, size_t n)
{
	for (size_t i = 0; i < n && i < servers->n; i++)
		if (!address_equal(&where[i].address, &servers->v[i].where.address) ||
			strcmp(where[i].scope, servers->v[i].where.scope) != 0)
			return false;
	return n == servers->n;
}

struct asked *servers_ask(struct servers *servers, uint8_t i, const uint8_t *query, size_t len, int64_t now_ms,
	name_server_answered *answered, void *arg)
{
	struct server *server = &servers->v[i];
	if (!server->line)
		server->line = name_server_new(&server->where, servers->epoll, i);
	if (!server->line)
		return NULL;
	struct asked *asked = name_server_ask(server->line, query, len, now_ms, answered, arg);
	servers->sent += asked != NULL;
	return asked;
}

void servers_process(struct servers *servers, int64_t now_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(servers->epoll, events, ARRAY_SIZE(events), 0);
	for (int i = 0; i < n; i++) {
		uint64_t tag = events[i].data.u64 >> 32;
		if (tag < servers->n && servers->v[tag].line)
			name_server_process(servers->v[tag].line, &events[i], now_ms);
	}
	for (int i = 0; i < servers->n; i++)
		if (servers->v[i].line && name_server_due_ms(servers->v[i].line) <= now_ms)
			name_server_process(servers->v[i].line, NULL, now_ms);
}

int64_t servers_due_ms(const struct servers *servers)
{
	int64_t due_ms = INT64_MAX;
	for (int i = 0; i < servers->n; i++) {
		int64_t its_ms = servers->v[i].line ? name_server_due_ms(servers->v[i].line) : INT64_MAX;
		due_ms = its_ms < due_ms ? its_ms : due_ms;
	}
	return due_ms;
}

static int64_t heard_ms(const struct server *server)
{
	return server->line ? name_server_heard_ms(server->line) : -1;
}

bool servers_is_silent(const struct servers *servers, uint8_t i)
{
	return servers->v[i].silent_ms > heard_ms(&servers->v[i]);
}

void servers_order(const struct servers *servers, uint8_t order[SERVERS_MAX])
{
	unsigned n = 0;
	for (int silent = 0; silent < 2; silent++)
		for (uint8_t i = 0; i < servers->n; i++)
			if (servers_is_silent(servers, i) == silent)
				order[n++] = i;
}

void servers_blame(struct servers *servers, uint8_t i, int64_t since_ms, int64_t now_ms)
{
	struct server *server = &servers->v[i];
	if (heard_ms(server) >= since_ms)
		return;
	server->silent_ms = now_ms;
	server->again_ms = now_ms + OCCASION_MS;
}

bool servers_take_occasion(struct servers *servers, uint8_t i, int64_t now_ms)
{
	struct server *server = &servers->v[i];
	if (!servers_is_silent(servers, i) || now_ms < server->again_ms)
		return false;
	server->again_ms = now_ms + OCCASION_MS;
	return true;
}
