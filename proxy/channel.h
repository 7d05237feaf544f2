/* SPDX-License-Identifier: Apache-2.0 */
/* What keeper and worker say to each other over their SOCK_SEQPACKET pair. The keeper trusts no value in it. */
#pragma once

#include <stdint.h>

enum channel_type {
	/* worker -> keeper */
	CHANNEL_READY = 1, /* isolated, in the loop */
	CHANNEL_PROBE_ACK, /* value: the port of CHANNEL_PROBE; connect now */
	CHANNEL_PROBED,    /* value: that port; its connection was accepted and closed, neither logged nor counted */
	CHANNEL_LOG_FULL,  /* the log has reached its size; a new one, please */

	/* keeper -> worker */
	CHANNEL_PROBE, /* value: a source port from which one connection is coming that is the hook's */
	CHANNEL_LOG,   /* with a descriptor: the next log file */
	CHANNEL_LISTEN, /* with a descriptor: the listener, to a worker that was started without one */
};

struct channel_message {
	uint32_t type;
	uint32_t value;
};
