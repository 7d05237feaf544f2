/* SPDX-License-Identifier: Apache-2.0 */
/* How a peer that is gone without a word is found out. */
#pragma once

#include <stdint.h>

/* Before that a tunnel is not worth the system calls: most are over. */
#define KEEPALIVE_AFTER_MS 30000

/*
 * Probes a connected TCP socket when it has been silent for a minute, which also keeps the NAT on its way from
 * forgetting it, and gives it up when the peer has acknowledged nothing, or taken nothing, for as long as a tunnel may
 * be idle, but at most a quarter of an hour. Failing is no error: the idle timer remains.
 */
void keepalive_set(int fd, uint32_t idle_timeout_ms);
