/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress doctor`: what it looks at, part by part. Each part says what it finds. */
#pragma once

#include "hook/command.h"
#include "hook/findings.h"

struct doctor {
	struct findings findings;
	const struct settings *settings;
	const char *config;                       /* of the settings' file; NULL: where it is by itself */
	const char *policies, *run, *log, *state; /* as given on the command line, or NULL */
	const char *keeper;
	bool no_userns;           /* which root's containers can do without */
	const char *engine;       /* "podman", "docker", "runc", "crun"; NULL: none was named */
	const char *network;      /* of the container that is tried; NULL: none but ours */
	const char *runtime;      /* docker's that is ours, by name */
	const char *fixed_policy; /* that it is called for, oci-egress-runtime@POLICY; NULL: none */
};

/* What the kernel has to let us do. */
void doctor_kernel(struct doctor *doctor);

/* Directories, policies and the keeper's program. */
void doctor_places(struct doctor *doctor);

/* Do the host's name servers answer? */
void doctor_names(struct doctor *doctor);

/* What engines know of us: podman's hooks.d, docker's daemon.json. */
void doctor_engines(struct doctor *doctor);

/* A container of the engine that was named, under a policy made for it, tried from inside. */
void doctor_canary(struct doctor *doctor);
