/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: what holds a container whose network namespace has interfaces beside our link. nftables rules inside that
 * namespace, which nobody without NET_ADMIN over it can change; they outlive the keeper and go with the namespace.
 *
 * inet oci_egress   what is sent goes to lo, to the link, to what the policy opens, or answers a connection that came
 * in from outside; all else is refused at once in the output hook. What leaves in spite of that, by whatever way, ends
 * in the postrouting hook, behind all other chains. Nothing is forwarded. netdev oci_egress on each other interface:
 * only what has gone through that hook, known by two random numbers, a mark and a priority, that are on a packet from
 * there to here and nowhere else. What packet sockets send has never been there. arp oci_egress    the kernel's own ARP
 * gets the two numbers; that of packet sockets does not pass here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/error.h"
#include "netns/foreign.h"

struct gate_config {
	const struct foreign *foreign;
	const struct network *direct; /* what is reached past the proxy; metadata, if nothing but that is in it */
	size_t n_direct;
	bool inbound; /* connections that come in are answered */
};

/*
 * Interfaces that come later are shut as well: by the rules for IP whatever their names, by those on the interface
 * where they have the names that engines give them and the kernel can wait for them (Linux 6.16).
 *
 * Raises the gate in the container's namespace, or replaces, in one step, the one that is there: *ret_made says which.
 * The caller holds the namespace's lock. On failure everything is as it was. Every error is closed (struct error): a
 * namespace with a way out has a gate or no container. Linux 5.16 or later, and nft.
 */
int gate_raise(int netns, const struct gate_config *config, bool *ret_made, struct error *err);

/* Takes away a gate that has just been made. */
void gate_remove(int netns);
