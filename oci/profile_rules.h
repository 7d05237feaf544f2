/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp profile as it is read: what libseccomp will be told, and where in the document that stands. */
#pragma once

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/json.h"

#define PROFILE_ARGS_MAX 6
#define PROFILE_ARCHITECTURES_MAX 32

/* An element of linux.seccomp.syscalls. */
struct profile_rule {
	const struct json_value *value;
	const struct json_value *names; /* an array of strings; NULL: none */
	uint32_t action;                /* SCMP_ACT_*, the same numbers as SECCOMP_RET_* */
	/* All of them must hold; where two are on one argument, runtimes make a rule of each. */
	struct scmp_arg_cmp args[PROFILE_ARGS_MAX];
	unsigned n_args;
};

struct profile {
	const struct json *json;
	const struct json_value *value;
	const struct json_value *architectures; /* an array of strings; NULL: none */
	const struct json_value *syscalls;      /* an array; NULL: none */
	uint32_t default_action;
	uint32_t archs[PROFILE_ARCHITECTURES_MAX]; /* SCMP_ARCH_*, in the order of architectures */
	size_t n_archs;
	struct profile_rule *rules;
	size_t n_rules;
};

/* 0, -EINVAL and where what is wrong stands, or -ENOMEM. To be freed in either case; points into json. */
int profile_read(const struct json *json, const struct json_value *seccomp, struct profile *ret, struct error *err);
void profile_free(struct profile *profile);

#define _cleanup_profile_ __attribute__((cleanup(profile_free)))

/* The kernel's order of actions, seccomp(2): the least wins. */
static inline int32_t profile_rank(uint32_t action)
{
	return (int32_t) (action & 0xffff0000);
}

/* May the system call be made after this, or may somebody who is asked let it be? */
static inline bool profile_permits(uint32_t action)
{
	return profile_rank(action) > profile_rank(SCMP_ACT_ERRNO(0));
}

/* Does the runtime give this rule to libseccomp? One that says what the default says is passed over. */
static inline bool profile_counts(const struct profile *profile, const struct profile_rule *rule)
{
	return rule->action != profile->default_action;
}

bool profile_names(const struct profile_rule *rule, const char *name);

/*
 * The rule that a system call is bound by whatever its arguments, or NULL: with libseccomp the first without
 * conditions covers all others, before and behind it.
 */
const struct profile_rule *profile_dominant(const struct profile *profile, const char *name);

/* Two conditions on one argument, which runtimes take for alternatives. */
bool profile_alternatives(const struct profile_rule *rule);
