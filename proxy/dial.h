/* SPDX-License-Identifier: Apache-2.0 */
/* From the addresses of an allowed name to a connection: every one is checked first, and only checked ones are dialled.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "oci/image.h"
#include "proxy/reason.h"
#include "proxy/resolver.h"

/* The addresses that are still to be tried, in order. */
struct dial {
	uint16_t port;
	uint8_t n;
	uint8_t next;
	enum reason failure; /* of the last try */
	struct address addresses[RESOLVER_ADDRESSES_MAX];
};

/*
 * Checks addresses (at most RESOLVER_ADDRESSES_MAX) against the floor and the policy's networks, and against the
 * kernel's routes (route_fd, proxy/route.h): one that is forbidden forbids all. REASON_NONE and *ret, or
 * REASON_ADDRESS_FORBIDDEN, or REASON_CONNECT_UNREACHABLE where the machine has no way to any of them. IPv4 comes
 * first: a machine without IPv6 says so at once, one with a broken IPv6 only by a time-out.
 */
enum reason dial_prepare(struct dial *ret, const struct image *image, int route_fd, const struct address *addresses,
	size_t n, uint16_t port);

/* One address that needs no check: the external proxy's. */
void dial_prepare_unchecked(struct dial *ret, const struct address *address, uint16_t port);

/*
 * Starts to connect to the next address. Returns the socket (the caller's; non-blocking, TCP_NODELAY) and *ret_address,
 * or -1 with dial->failure where none is left.
 */
int dial_next(struct dial *dial, struct address *ret_address);

/* Whether connect(2) has succeeded on a socket of dial_next()'s, once it is writable; else dial->failure says why not.
 */
bool dial_connected(struct dial *dial, int fd);
