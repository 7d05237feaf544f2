/* SPDX-License-Identifier: Apache-2.0 */
/* The first step: from the state on stdin to what is to be done, with nothing touched. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "hook/rundir.h"
#include "oci/image.h"
#include "oci/policy.h"
#include "oci/settings.h"
#include "base/stamp.h"
#include "oci/state.h"

struct plan {
	struct state *state;
	char policy[POLICY_NAME_MAX + 1]; /* empty: the container is none of our business */
	const struct image *image;
	struct image *compiled; /* the same, where it is ours; else it is mapped */
	size_t mapped;          /* bytes */
	int image_fd;           /* the same, as a sealed memfd or a file of all who use it (hook/images.h) */
	char stamp[STAMP_SIZE]; /* of the policy file that it was made from */
	bool has_seccomp_profile;
	const char *admin_capability; /* of the container's (oci/config.h), or NULL */
	bool may_gain_interfaces;     /* somebody else may add to the network namespace after all hooks */
	pid_t pid;                    /* of init */
	int pidfd;
	uint64_t start_time;
	int netns; /* the container's network namespace */
	char key[RUNDIR_KEY_SIZE];
};

#define PLAN_EMPTY ((struct plan){ .image_fd = -1, .pidfd = -1, .netns = -1 })

/*
 * Makes the plan, for that policy; NULL: for the one that annotation, variable or the file "default" choose. Every
 * failure is closed (struct error): what stands in state, config.json, annotations and policies is for people to put
 * right. *ret is to be released by plan_clear() whatever the result.
 */
int plan_make(const struct settings *settings, const char *policy, const char *state_text, size_t len, struct plan *ret,
	struct error *err);
void plan_clear(struct plan *plan);
