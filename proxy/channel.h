/* SPDX-License-Identifier: Apache-2.0 */
/* What keeper and worker say to each other over their SOCK_SEQPACKET pair. The keeper trusts no value in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum channel_type {
	/* worker -> keeper */
	CHANNEL_READY = 1, /* isolated, in the loop */
	CHANNEL_PROBE_ACK, /* value: the port of CHANNEL_PROBE; connect now */
	CHANNEL_PROBED,    /* value: that port; its connection was accepted and closed, neither logged nor counted */
	CHANNEL_LOG_FULL,  /* the log has reached its size; a new one, please */

	/* keeper -> worker */
	CHANNEL_PROBE,  /* value: a source port from which one connection is coming that is the hook's; 0: none is */
	CHANNEL_LOG,    /* value: bytes in it; with a descriptor: the next log file */
	CHANNEL_LISTEN, /* with a descriptor: the listener, non-blocking, to a worker that was started without one */

	/* keeper -> worker, with a descriptor to map, of value bytes */
	CHANNEL_POLICY,      /* oci/image.h */
	CHANNEL_RESOLV_CONF, /* value 0: without one, there is none any more */
	CHANNEL_HOSTS,
	CHANNEL_RETIRE, /* takes no more connections, and ends with its last one; no descriptor */

	/* worker -> keeper */
	CHANNEL_REVIEWED, /* value: tunnels that it ended; the policy that came last holds */
	CHANNEL_RETIRED,  /* it accepts nothing any more */
};

struct channel_message {
	uint32_t type;
	uint32_t value;
};

/* The worker's side, which has no sendmsg(2): whoever may send a descriptor can have the keeper close(2) any socket. */
bool channel_send(int channel, const struct channel_message *message);
