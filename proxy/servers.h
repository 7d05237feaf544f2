/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name servers of resolv.conf, and what is known of each. One that is silent while others answer comes last until
 * it answers again, which it is given the occasion to now and then, beside the others: nobody waits for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/name_server.h"
#include "proxy/resolvconf.h"

#define SERVERS_MAX RESOLVCONF_SERVERS_MAX

struct server {
	struct resolvconf_server where;
	struct name_server *line; /* NULL: nothing was asked of it yet */
	int64_t silent_ms;        /* when it was found to be silent; -1: never */
	int64_t again_ms;         /* when it has its next occasion, if it still is */
};

/* All zero but for epoll to begin with: an epoll descriptor for them alone. */
struct servers {
	int epoll;
	uint8_t n;
	struct server v[SERVERS_MAX];
	uint64_t sent; /* queries */
};

/* Others instead, n of them; 0: none. Of the old ones nothing is answered any more. */
void servers_set(struct servers *servers, const struct resolvconf_server *where, size_t n);
bool servers_are(const struct servers *servers, const struct resolvconf_server *where, size_t n);

/* name_server_ask() of server i. */
struct asked *servers_ask(struct servers *servers, uint8_t i, const uint8_t *query, size_t len, int64_t now_ms,
	name_server_answered *answered, void *arg);

void servers_process(struct servers *servers, int64_t now_ms);

/* When servers_process() must be called even without an event; INT64_MAX: never. */
int64_t servers_due_ms(const struct servers *servers);

/* Those that answer first, else as resolv.conf has them. */
void servers_order(const struct servers *servers, uint8_t order[SERVERS_MAX]);
bool servers_is_silent(const struct servers *servers, uint8_t i);

/* Server i should have said something since then: if it has not it is silent. */
void servers_blame(struct servers *servers, uint8_t i, int64_t since_ms, int64_t now_ms);

/* Has silent server i an occasion now? It is taken then. */
bool servers_take_occasion(struct servers *servers, uint8_t i, int64_t now_ms);
