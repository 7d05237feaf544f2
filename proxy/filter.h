/* SPDX-License-Identifier: Apache-2.0 */
/* The filter: decides on (host, port), then on each address that the name resolved to. Pure functions over the image.
 */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/host.h"
#include "oci/image.h"
#include "proxy/reason.h"

struct decision {
	enum reason reason;            /* REASON_ALLOWED or why not */
	const struct image_rule *rule; /* that decided, or whose port is not this one; in the image, or NULL: none */
};

/*
 * Decides before any look-up. deny wins; then an allow entry must match host and port. An address literal needs an
 * entry of its own. REASON_ALLOWED, REASON_DENIED, REASON_NOT_LISTED, or REASON_PORT_NOT_LISTED where only the port is
 * in the way.
 */
struct decision filter_decide(const struct image *image, const struct host *host, uint16_t port);

/*
 * Decides on one address that an allowed name resolved to, or that is itself allowed: REASON_ALLOWED, or
 * REASON_ADDRESS_FORBIDDEN where it lies in the floor and in no entry of networks. An entry opens addresses of its own
 * family, and no IPv4-mapped ones. *ret_network (may be NULL) gets the entry that let it pass, else NULL.
 */
enum reason filter_check_address(
	const struct image *image, const struct address *address, const struct image_network **ret_network);
