/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a doctor's container needs, and what goes again whatever comes of it: a directory with a root file system that
 * holds one program, ours; a listener that says a token; a policy that lists it and nothing else.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/policy.h"
#include "oci/settings.h"

#define CANARY_TOKEN_SIZE 33
#define CANARY_PROGRAM "/oci-egress"

struct canary_home {
	char dir[64];                   /* below /tmp, ours alone but to pass through; "rootfs" is in it */
	char program[PATH_MAX];         /* ours, as installed */
	char name[POLICY_NAME_MAX + 1]; /* of the policy and of the container */
	char policy_file[PATH_MAX];
	char listed[64]; /* "127.0.0.1:PORT" */
	char token[CANARY_TOKEN_SIZE];
	int listener;
	int teller; /* the pid of who accepts there and says the token; 0: nobody */
};

#define CANARY_HOME_EMPTY ((struct canary_home){ .listener = -1 })

/* The reserved name that policies of doctors begin with. */
#define CANARY_NAME "oci-egress-doctor-"

/* *ret is to be cleared whatever the result. What a doctor that was killed has left is removed as well. */
int canary_home_make(const struct settings *settings, struct canary_home *ret, struct error *err);
void canary_home_clear(struct canary_home *home);
