/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the kernel where an address leads, so that no name leads back into this host. */
#pragma once

#include "base/address.h"
#include "base/error.h"

enum route_kind {
	ROUTE_FORBIDDEN = 0, /* this host's own address, broadcast, multicast, or an answer that leaves a doubt */
	ROUTE_UNICAST,       /* to another host */
	ROUTE_NONE,          /* the kernel has no way there, or not the address family: connect(2) would fail */
};

/* A NETLINK_ROUTE socket (rtnetlink(7)) in the namespace that the proxy dials from. *ret_fd is the caller's. */
int route_open(int *ret_fd, struct error *err);

/* One RTM_GETROUTE. Does not wait: the kernel answers before sendto(2) returns. */
enum route_kind route_lookup(int fd, const struct address *address);
