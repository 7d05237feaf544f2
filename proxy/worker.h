/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: serves one listener by one policy image, unprivileged. Run by the keeper (isolated, with a channel) and
 * by `oci-egress proxy` (in the foreground, as the caller). Both give it the same descriptors.
 *
 *     oci-egress-keeper worker isolated UID EXTERNAL_PORT
 *     oci-egress-keeper worker foreground
 */
#pragma once

enum worker_fd {
	WORKER_FD_LISTENER = 3, /* = SPAWN_FD_FIRST; closed: it comes by CHANNEL_LISTEN */
	WORKER_FD_IMAGE,        /* oci/imagefile.h: a sealed memfd, or a file of all who use the policy */
	WORKER_FD_LOG,          /* O_APPEND; JSON lines */
	WORKER_FD_RESOLV_CONF,  /* memfd: the host's resolv.conf, or closed */
	WORKER_FD_HOSTS,        /* memfd: the host's hosts file, or closed */
	WORKER_FD_SCOREBOARD,   /* memfd, proxy/scoreboard.h; closed in the foreground */
	WORKER_FD_CHANNEL,      /* SOCK_SEQPACKET, proxy/channel.h; closed in the foreground */
	WORKER_FD_ROOT,         /* an empty directory, nobody's; closed in the foreground */
	WORKER_FD_CONTAINER,    /* memfd: the container's id for the log; closed in the foreground */
	WORKER_FD_END,
};

/* The worker's uid and gid are this and the keeper's pid: in no table, unlike any other worker's, nothing to lease. */
#define WORKER_UID_BASE 0x70000000u

/* Exit status: the listener was closed under it, from inside the container's namespace; another worker would not help.
 */
#define WORKER_LISTENER_CLOSED 3

/* The worker's entry point: argv behind "worker". Returns the exit status. */
int worker_main(int argc, char **argv);
