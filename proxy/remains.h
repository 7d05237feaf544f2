/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker leaves on the scoreboard when it ends: log lines and verdicts of connections that were open. */
#pragma once

#include "oci/image.h"
#include "proxy/reason.h"
#include "proxy/scoreboard.h"

/*
 * Writes a line with this reason for each connection that owes one, counts what it says, and clears its slot and the
 * count of open connections. The board is the dead worker's to have filled with anything: the keeper knows how many
 * slots there are, each is copied once, and each field of the copy is bounded.
 */
void remains_write(struct scoreboard *board, uint32_t n_slots, const struct image *image, const char *container,
	enum reason reason, int log);
