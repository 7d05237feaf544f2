/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's documents as they have to be for a guarded container, where they can still be edited: config.json, and
 * the process that a runtime is asked to exec. Only what has to change does (oci/edit.h).
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/bouquet.h"
#include "oci/json.h"

/* The hook that config.json is to have, in createRuntime and in poststop. */
struct prepare_hook {
	const char *program;            /* absolute path. Hooks with that path that are there already are replaced */
	const char *const *args;        /* behind "oci-egress hook STAGE"; ended by NULL */
	const char *const *create_args; /* of createRuntime alone, behind those; ended by NULL */
};

/*
 * process.env gets the bouquet, each variable once whatever was there; linux.seccomp the filter, merged with the
 * profile that is there (oci/profile.h); hooks our hook, behind all others. Twice is as good as once.
 *
 * profiles: the directory of merged profiles (oci/profile_cache.h), or -1.
 *
 * json is a config.json, without comments, that config_parse() has passed. *ret is to be freed. -EINVAL: what it lacks,
 * or why its profile cannot be made to hold.
 */
int prepare_config(const struct json *json, const struct bouquet *bouquet, const struct prepare_hook *hook, int profiles,
	char **ret, size_t *ret_len, struct error *err);

/* The same for the process of an exec: env alone. */
int prepare_process(
	const struct json *json, const struct bouquet *bouquet, char **ret, size_t *ret_len, struct error *err);

/*
 * A bouquet in short, so that the hook can tell whether an environment that was prepared has the one that it would put
 * in. Returns buf.
 */
#define PREPARE_FINGERPRINT_SIZE 17
const char *prepare_fingerprint(const struct bouquet *bouquet, char buf[PREPARE_FINGERPRINT_SIZE]);
