/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of one name and family, asked of one name server after the other until there is an answer to believe.
 *
 * The next server is asked when one has been silent for QUERY_PATIENCE_MS, or has failed; after the last the first is
 * asked again, and each round has twice the patience. An address that any of them gives is believed. That there is none
 * is believed of the first; of a later one only when those before it have failed, or were silent for
 * QUERY_LONG_PATIENCE_MS: where a network's own server comes first and a public one behind it, the public one knows
 * none of the network's names.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/dns_message.h"
#include "proxy/servers.h"

#define QUERY_PATIENCE_MS 400
#define QUERY_LONG_PATIENCE_MS 2000
#define QUERY_MS 8000 /* all servers and tries */
#define QUERY_TRIES_MAX 7

struct query;

/* Something has come: query_run() wants to be called, but not from here. */
typedef void query_changed(void *arg);

/* On its way to a server. */
struct query_try {
	struct query *query;
	struct asked *asked; /* NULL: it has ended */
	int64_t sent_ms;
	uint8_t server;
};

struct query {
	struct servers *servers;
	const char *name;
	enum dns_type type;
	query_changed *changed;
	void *arg;
	int64_t started_ms;
	int64_t next_ms; /* the next server is asked */
	bool has_ended;  /* with answer */
	bool has_none;   /* by none_from, a later server: it is in answer */
	bool lacks;      /* a server could not be asked for want of what this machine has none left of */
	uint8_t none_from;
	uint8_t asked, failed; /* sets of servers: those of this round, those that are of no use */
	uint8_t round, n_tries;
	uint8_t order[SERVERS_MAX];
	uint16_t ids[SERVERS_MAX]; /* one for all tries at a server */
	struct query_try tries[QUERY_TRIES_MAX];
	struct dns_answer answer;
};

/*
 * Nothing is sent before query_run(). name must stay; ids are random numbers. The query must not move until
 * query_stop() or its end.
 */
void query_start(struct query *query, struct servers *servers, const char *name, enum dns_type type,
	const uint16_t ids[SERVERS_MAX], query_changed *changed, void *arg, int64_t now_ms);

/* Does what there is to do now. Returns whether query->answer is the answer. */
bool query_run(struct query *query, int64_t now_ms);

/* When query_run() must be called if nothing changes before. */
int64_t query_due_ms(const struct query *query);

/* To be called while the servers are those of query_start(). */
void query_stop(struct query *query);
