/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init of an external proxy: process 1 of a PID namespace of its own, as the proxy's user. Starts the command,
 * reaps what it leaves behind, hands SIGTERM on to all, and ends when the last has ended, with the command's status.
 * The kernel ends the whole namespace with it, pid_namespaces(7). Run by the keeper:
 *
 *     oci-egress-keeper init PORT
 */
#pragma once

enum init_fd {
	INIT_FD_IMAGE = 3, /* = SPAWN_FD_FIRST; sealed memfd, oci/image.h */
	INIT_FD_HOME,      /* HOME and first working directory; closed where there is none */
	INIT_FD_LIFE,      /* a pipe's reading end: at its end the keeper has ended */
	INIT_FD_END,
};

/* Exit statuses of init itself; the command's own come through as a shell would say them. */
#define INIT_FAILED 125 /* before the command */
#define INIT_CANNOT_EXEC 126
#define INIT_NOT_FOUND 127

/* The entry point: argv behind "init". Returns the exit status. */
int init_main(int argc, char **argv);
