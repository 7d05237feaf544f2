/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to rtnetlink(7), one kind per function, each answered before it returns. The only user of libnl, and of its
 * core only: loading libnl-route would cost every hook more than all that the link needs from it.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NETLINK_KIND_SIZE 32

struct netlink;

/* An interface, as the kernel describes it. */
struct netlink_link {
	int index;
	int peer;          /* of a veth: the other end's index, in its own namespace; of others: of what is below */
	bool elsewhere;    /* what it sends goes through another namespace: IFLA_LINK_NETNSID */
	unsigned flags;    /* netdevice(7): IFF_UP, ... */
	uint8_t operstate; /* RFC 2863: IF_OPER_UP, ... (linux/if.h) */
	char name[IFNAMSIZ];
	char kind[NETLINK_KIND_SIZE]; /* IFLA_INFO_KIND, "veth", ...; empty: none */
};

/* A per-interface IPv4 setting: IPV4_DEVCONF_* (linux/ip.h). */
struct netlink_devconf {
	int id;
	uint32_t value;
};

/* A socket in the namespace that this thread is in now. *ret: netlink_close(), which takes NULL. */
int netlink_open(struct netlink **ret, struct error *err);
void netlink_close(struct netlink *netlink);

/*
 * Everything there is, one by one, until fn returns false: then 0 all the same, but the socket is of no further use.
 * More than anybody's namespace holds (65,536 of a kind): -E2BIG.
 */
int netlink_each_link(
	struct netlink *netlink, bool (*fn)(const struct netlink_link *link, void *arg), void *arg, struct error *err);
int netlink_each_address(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err);

/*
 * Routes outside the local table, of every family; once per nexthop. Index 0: the kernel does not say which interface
 * (a nexthop object). Those that lead nowhere (blackhole, unreachable, ...) are left out.
 */
int netlink_each_route(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err);

/* An interface by index. -ENODEV: there is none. */
int netlink_get_link(struct netlink *netlink, int index, struct netlink_link *ret, struct error *err);

/* An interface by name. -ENODEV: there is none. */
int netlink_find_link(struct netlink *netlink, const char *name, struct netlink_link *ret, struct error *err);

/*
 * A pair, both ends down, one queue each: name with this index here, peer_name in the namespace behind peer_netns.
 * -EEXIST: one of the names is taken.
 */
int netlink_add_veth(
	struct netlink *netlink, const char *name, int index, const char *peer_name, int peer_netns, struct error *err);
int netlink_set_devconf(
	struct netlink *netlink, int index, const struct netlink_devconf *conf, size_t n, struct error *err);
int netlink_add_address(struct netlink *netlink, int index, struct in_addr address, uint8_t prefix, struct error *err);
int netlink_remove_address(
	struct netlink *netlink, int index, struct in_addr address, uint8_t prefix, struct error *err);
int netlink_set_up(struct netlink *netlink, int index, bool up, struct error *err);

/* Both ends of a veth are gone when it returns. */
int netlink_delete(struct netlink *netlink, int index, struct error *err);

/* A descriptor that is readable when interfaces here have changed since. *ret_fd is the caller's. */
int netlink_watch(int *ret_fd, struct error *err);

/*
 * Asks fn (1: it is so, 0: not yet, or -errno), and again after each change that watch reports, for timeout_ms at most.
 * Returns fn's last answer.
 */
int netlink_await(int watch, int timeout_ms, int (*fn)(void *arg, struct error *err), void *arg, struct error *err);
