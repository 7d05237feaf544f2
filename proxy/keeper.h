/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: one per container namespace. Owns the listener, the control socket, the worker and the external proxy;
 * watches each container's init; ends at once when the last has ended, and takes everything with it. Started by the
 * hook, before it makes the link, so that the two come up together:
 *
 *     oci-egress-keeper keeper KEY ID STAMP ON_FAILURE
 *
 * ID is the container it is started for, after which the log is named; STAMP that of the policy file when its image was
 * made (base/stamp.h), ON_FAILURE the host's "open" or "closed". It has the descriptors below, as root of the
 * hook's user namespace, in the host's network namespace. The listener follows over the first connection, the hook's
 * (CONTROL_LISTEN); there it also says when it has failed to start (CONTROL_ERROR in answer to JOIN or PROBE).
 */
#pragma once

enum keeper_fd {
	KEEPER_FD_LISTENER = 3, /* = SPAWN_FD_FIRST; closed at first: it comes by CONTROL_LISTEN */
	KEEPER_FD_CONTROL,      /* listening on RUN/KEY.sock */
	KEEPER_FD_HOOK,         /* the hook's end of a first, already connected control connection */
	KEEPER_FD_RUN,          /* the run directory */
	KEEPER_FD_LOG_DIR,      /* the log directory */
	KEEPER_FD_IMAGE,        /* oci/imagefile.h; the newest one, after a reload */
	KEEPER_FD_RESOLV_CONF,  /* memfd, or closed where the host has none */
	KEEPER_FD_HOSTS,        /* memfd, or closed */
	KEEPER_FD_ROOT,         /* an empty directory that has no name any more */
	KEEPER_FD_PROGRAM,      /* O_PATH: the keeper's own executable, for the worker */
	KEEPER_FD_HOME,         /* the external proxy's HOME; closed where the image has none */
	KEEPER_FD_COMPILER,     /* O_PATH: oci-egress, to compile a changed policy; closed: it is not followed */
	KEEPER_FD_END,
};

/*
 * Files of the run directory, which the keeper unlinks when it ends, under the lock:
 *     KEY.lock   flock(2): whoever makes, joins or ends what belongs to the namespace holds it
 *     KEY.sock   the control socket
 * and of each container that it watched, when its init has ended:
 *     ID.json    the container's record (hook/record.h), under the directory's own flock(2)
 * A keeper ends only with the lock (LOCK_NB); where a hook holds it, the keeper waits for that hook's JOIN or its end.
 */

/* The keeper's entry point: argv behind "keeper". Returns the exit status. */
int keeper_main(int argc, char **argv);
