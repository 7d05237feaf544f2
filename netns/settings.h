/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings under /proc/sys/net that a link depends on. A new network namespace copies its IPv4 ones from the
 * initial one, and IPv6 ones as net.core.devconf_inherit_init_net says: each that matters is set, none trusted.
 *
 * What /proc/sys/net shows is the network namespace of the thread that looks it up (not of the mount): call these
 * inside.
 */
#pragma once

#include "base/error.h"

struct netlink;

/* The transit as a whole, before its link is made: `all` and `default`, no forwarding, no echo. */
int settings_transit(struct error *err);

/*
 * One interface of this namespace, either end, before it is brought up: IPv4 by netlink and index, IPv6 by name. IPv6
 * is off, addresses and advertisements with it. What the kernel was built without is not an error.
 */
int settings_interface(struct netlink *netlink, int index, const char *name, struct error *err);
