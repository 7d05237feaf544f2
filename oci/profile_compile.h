/* SPDX-License-Identifier: Apache-2.0 */
/* From profile to program, by the calls that runtimes make. */
#pragma once

#include <stdbool.h>

#include <linux/filter.h>

#include "base/error.h"

struct profile;

/* tree: with libseccomp's binary tree of numbers, as newer versions of runc make it of more than this many rules. */
#define PROFILE_TREE_RULES 32

/* libseccomp 2.5.4 has loops without an end for some rules: a child compiles, and is killed after so much work, thirty
 * times what it needs. */
#define PROFILE_COMPILE_SECONDS 1

/*
 * only: of these system calls alone, ended by NULL; NULL: of all. 0 and *ret, whose filter is the caller's: free(); or
 * a negative error, -EINVAL with the rule that libseccomp refuses, or the profile that it comes to no end with.
 */
int profile_compile(
	const struct profile *profile, const char *const *only, bool tree, struct sock_fprog *ret, struct error *err);
