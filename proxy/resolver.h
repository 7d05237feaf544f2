/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, without blocking: the host's hosts file first, else A and AAAA records of exactly this name, no
 * search list, no other source. Which server is asked when says proxy/query.h. What the name servers say is remembered
 * for as long as it holds (proxy/dns_cache.h); addresses only: whether one may be dialled is asked anew at each use.
 *
 * A name that is asked for already is not asked for again: who looks it up meanwhile waits for the same answer. So of
 * one question to one server there is never more than one id to be guessed, however often a client asks for the name
 * (RFC 5452 section 5).
 *
 * Both families are asked for at once. As soon as one has addresses, the other has RESOLVER_DELAY_MS to come too (RFC
 * 8305 section 3, Resolution Delay); what comes later is there for the next one who asks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/host.h"
#include "proxy/reason.h"

#define RESOLVER_ADDRESSES_MAX 16 /* of one name, half of them for each family */
#define RESOLVER_DELAY_MS 50

struct resolver;
struct lookup;

int resolver_new(struct resolver **ret, struct error *err);
void resolver_free(struct resolver *resolver);

/*
 * What resolv.conf and hosts say from now on; NULL: there is no such file. To be called before the first look-up, and
 * again whenever one of them has changed, but not from within a resolver_done. Both texts remain the caller's and must
 * stay as they are until the next call has returned, or resolver_free(). Where the servers are others than before, what
 * was learnt from the old ones is forgotten, and names that are being asked for are asked of the new ones, from the
 * next resolver_process() on. Calls no resolver_done. On failure nothing has changed, and the texts of the call before
 * must stay on.
 */
int resolver_configure(struct resolver *resolver, const char *resolvconf, size_t resolvconf_len, const char *hosts,
	size_t hosts_len, struct error *err);

/* How many names may be asked for at a time. A look-up of one more is ended with REASON_LIMIT_LOOKUPS. */
void resolver_limit(struct resolver *resolver, uint32_t names);

/* An epoll descriptor that is readable when resolver_process() has something to do. */
int resolver_fd(const struct resolver *resolver);

/* Milliseconds until resolver_process() must be called even so; -1: never. */
int resolver_timeout_ms(const struct resolver *resolver);
void resolver_process(struct resolver *resolver);

/* Called once, from within resolver_start() or resolver_process(); the lookup is gone by then. */
typedef void resolver_done(void *arg, enum reason reason, const struct address *addresses, size_t n);

/*
 * Looks host (a name) up and calls done with REASON_NONE and at least one address, or with REASON_RESOLVE_* or
 * REASON_LIMIT_* and none. *ret_lookup is set to NULL where done was called already.
 */
void resolver_start(
	struct resolver *resolver, const struct host *host, resolver_done *done, void *arg, struct lookup **ret_lookup);

/* done will not be called any more. Returns how many addresses had come (one family's), copied to addresses. */
size_t resolver_cancel(struct lookup *lookup, struct address addresses[RESOLVER_ADDRESSES_MAX]);

struct resolver_counters {
	uint64_t lookups;  /* all */
	uint64_t known;    /* of these: answered from the hosts file or from what was remembered */
	uint64_t shared;   /* of these: waited for an answer that another had asked for */
	uint64_t queries;  /* sent to name servers, of one family each */
	uint64_t failures; /* of a name and family: no server had an answer */
	uint64_t timeouts; /* of these: because they were silent */
};

struct resolver_counters resolver_counters(const struct resolver *resolver);
