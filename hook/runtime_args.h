/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of an OCI runtime, as far as the wrapper has to understand it: runc's, crun's and youki's. They
 * agree on what matters. Long options take "--x=y" and "--x y", with one dash as well (Go's flag package), letters also
 * "-xy".
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum runtime_command {
	RUNTIME_OTHER,  /* nothing that we have a say in: to be passed on */
	RUNTIME_CREATE, /* create, run, restore: a container from a bundle */
	RUNTIME_EXEC,
};

/* NULL: not given. Everything points into argv. */
struct runtime_args {
	enum runtime_command command;
	const char *log;
	const char *log_format;
	bool restores;       /* of RUNTIME_CREATE: what CRIU has kept */
	const char *bundle;  /* of RUNTIME_CREATE */
	const char *config;  /* of RUNTIME_CREATE: crun's name for a config.json of another name */
	const char *process; /* of RUNTIME_EXEC */
	/* Of RUNTIME_EXEC: the value of a --cap that is enough to undo any rule in a network namespace. */
	const char *admin_capability;
	int id;          /* of RUNTIME_EXEC: which of argv is the container's id; 0: none */
	int options_end; /* of RUNTIME_EXEC with an id: in front of which of argv another option can stand */
	/*
	 * Of RUNTIME_EXEC: an option that we do not know stands before the id, so that the id may be that option's
	 * value and the next word the id.
	 */
	const char *doubt;
};

/*
 * Reads argv[1..argc). Options and commands that we do not know are nobody's business here. -EINVAL: one stands where
 * it cannot be told whether what follows is its value or the command, and the command may be one that we act on. *ret
 * is filled as far as it was understood, for the log.
 */
int runtime_args_parse(int argc, char **argv, struct runtime_args *ret, struct error *err);
