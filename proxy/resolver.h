/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, without blocking: the host's hosts file first, else A and AAAA records of exactly this name, no
 * search list, no other source. c-ares is called here and nowhere else.
 *
 * A name that is asked for already is not asked for again: who looks it up meanwhile waits for the same answer. So of
 * one question there is never more than one id to be guessed, however often a client asks for the name (RFC 5452
 * section 5). c-ares 1.18 has one UDP socket per server, from a random port, and a new one when no query is left:
 * questions that are open together share the port, but an answer must fit id and question of one of them.
 */
#pragma once

#include <stddef.h>

#include "base/address.h"
#include "base/error.h"
#include "base/host.h"
#include "proxy/reason.h"

#define RESOLVER_ADDRESSES_MAX \
	16 /* of one name; what a hostile answer has beyond is never looked at, so never dialled */
#define RESOLVER_QUESTIONS_MAX 256 /* names asked for at a time */

struct resolver;
struct lookup;

/*
 * What c-ares reads by path it reads here: call before the paths are gone. The random numbers of a process's query ids
 * are made once, so there is one resolver for ever.
 */
int resolver_new(struct resolver **ret, struct error *err);
void resolver_free(struct resolver *resolver);

/*
 * What resolv.conf and hosts say from now on; NULL: there is no such file. To be called before the first look-up, and
 * again whenever one of them has changed, but not from within a resolver_done. Both texts remain the caller's and must
 * stay as they are until the next call has returned, or resolver_free(). Where the servers are others than before, what
 * was learnt from the old ones is forgotten, and names that are being asked for are asked of the new ones. On failure
 * nothing has changed, and the texts of the call before must stay on.
 */
int resolver_configure(struct resolver *resolver, const char *resolvconf, size_t resolvconf_len, const char *hosts,
	size_t hosts_len, struct error *err);

/* An epoll descriptor that is readable when resolver_process() has something to do. */
int resolver_fd(const struct resolver *resolver);

/* Milliseconds until resolver_process() must be called even so; -1: never. */
int resolver_timeout_ms(const struct resolver *resolver);
void resolver_process(struct resolver *resolver);

/* Called once, from within resolver_start() or resolver_process(); the lookup is gone by then. */
typedef void resolver_done(void *arg, enum reason reason, const struct address *addresses, size_t n);

/*
 * Looks host (a name) up and calls done with REASON_NONE and at least one address, or with REASON_RESOLVE_* or
 * REASON_LIMIT_RESOURCES and none. *ret_lookup is set to NULL where done was called already.
 */
void resolver_start(
	struct resolver *resolver, const struct host *host, resolver_done *done, void *arg, struct lookup **ret_lookup);

/* done will not be called any more. Returns how many addresses had come (one family's), copied to addresses. */
size_t resolver_cancel(struct lookup *lookup, struct address addresses[RESOLVER_ADDRESSES_MAX]);
