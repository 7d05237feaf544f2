/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/keepalive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define PROBE_AFTER_S 60
#define GONE_MS 900000 /* what tcp_retries2 comes to, tcp(7) */

void keepalive_set(int fd, uint32_t idle_timeout_ms)
{
	/*
	 * With a user time-out the kernel does not count probes, and a window that stays shut counts as no
	 * acknowledgement: a peer that only reads slowly must not lose more than the policy's idle time-out permits.
	 */
	unsigned gone_ms = idle_timeout_ms < GONE_MS ? idle_timeout_ms : GONE_MS;
	int after_s = PROBE_AFTER_S, on = 1;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof(gone_ms));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after_s, sizeof(after_s));
	(void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}
