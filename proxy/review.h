/* SPDX-License-Identifier: Apache-2.0 */
/* A new version of the policy, under connections that are open. */
#pragma once

#include <stdint.h>

#include "oci/image.h"

struct conns;

/*
 * From now on image holds: connections that wait for their name or for the origin are decided again, as if they had
 * just asked; tunnels that it does not allow end (REASON_POLICY_CHANGED), or stay, as its on_reload has it. Nothing
 * points into the image before this one afterwards. log_max: the size at which the log wants to be exchanged. Returns
 * how many tunnels it has ended.
 */
uint32_t review_conns(struct conns *conns, const struct image *image, uint32_t log_max);
