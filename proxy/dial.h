/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the addresses of an allowed name to a connection: every one is checked first, and only checked ones are dialled.
 *
 * Happy Eyeballs (RFC 8305): the families take turns, IPv6 first; each address gets a little time alone, then the next
 * one is dialled beside it, so that a machine with a broken IPv6, or an origin with a dead address, costs a moment
 * and no more. The first that connects is the connection.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "oci/image.h"
#include "proxy/reason.h"
#include "proxy/resolver.h"

/* Sockets that connect at a time. A tunnel holds more descriptors than these and its client's. */
#define DIAL_ATTEMPTS_MAX 3

struct dial_attempt {
	int fd;
	uint8_t address; /* index of it */
	int64_t started_ms;
};

struct dial {
	uint16_t port;
	uint8_t n;
	uint8_t next;        /* address that is still to be tried */
	uint8_t n_attempts;  /* in flight, the oldest first */
	enum reason failure; /* of the last try */
	int64_t started_ms, deadline_ms;
	struct dial_attempt attempts[DIAL_ATTEMPTS_MAX];
	struct address addresses[RESOLVER_ADDRESSES_MAX];
};

/*
 * Checks addresses (at most RESOLVER_ADDRESSES_MAX) against the floor and the policy's networks, and against the
 * kernel's routes (route_fd, proxy/route.h): one that is forbidden forbids all. REASON_NONE and *ret, or
 * REASON_ADDRESS_FORBIDDEN with it in *ret_forbidden, or REASON_CONNECT_UNREACHABLE where the machine has no way to any
 * of them. Those it has no way to are left out.
 */
enum reason dial_prepare(struct dial *ret, const struct image *image, int route_fd, const struct address *addresses,
	size_t n, uint16_t port, struct address *ret_forbidden);

/* Would dial_prepare() still let this address pass? One that cannot be reached now would. */
bool dial_is_permitted(const struct image *image, int route_fd, const struct address *address);

/* One address that needs no check: the external proxy's. */
void dial_prepare_unchecked(struct dial *ret, const struct address *address, uint16_t port);

/* The time for all addresses together. Milliseconds of CLOCK_MONOTONIC here and below. */
void dial_begin(struct dial *dial, int64_t now_ms, uint32_t timeout_ms);

/*
 * Starts to connect to the next address; where DIAL_ATTEMPTS_MAX are in flight the oldest makes room. Returns its
 * attempt (non-blocking, TCP_NODELAY, SO_OOBINLINE; to be watched for EPOLLOUT), or NULL where no address is left.
 */
const struct dial_attempt *dial_next(struct dial *dial, int64_t now_ms);

/*
 * The attempt that was the only one ever made: for an event that can be no other's and says that it is connected. The
 * caller's, with its *ret_address; -1 where there were more.
 */
int dial_take_only(struct dial *dial, struct address *ret_address);

/*
 * How the attempts stand, after an event of any of them. Returns the socket that is connected, now the caller's, with
 * its *ret_address; or -1, with those that failed closed and dial->failure saying why.
 */
int dial_check(struct dial *dial, struct address *ret_address);

/*
 * When there is something to do if nothing happens: dial_next(), or to give up where it is dial->deadline_ms.
 */
int64_t dial_due_ms(const struct dial *dial);

/* Closes what is in flight. Nothing where dial is NULL. */
void dial_close(struct dial *dial);
