/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom an external proxy runs as, read from /etc/passwd and /etc/group: getpwnam(3) would load whatever nsswitch.conf
 * names into the keeper.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define USER_GROUPS_MAX 64
#define USER_NAME_MAX 64

struct user {
	char name[USER_NAME_MAX];
	uid_t uid;
	gid_t gid;
	size_t n_groups; /* supplementary */
	gid_t groups[USER_GROUPS_MAX];
};

/*
 * Finds a user by name or by decimal uid; "" is the system user oci-egress where there is one, else nobody. A uid that
 * is in no table is its own group. -ENOENT: there is none of that name.
 */
int user_find(const char *name, struct user *ret, struct error *err);

/* The home of a uid that /etc/passwd has, an absolute path of less than size bytes. -ENOENT: it has none. */
int user_home(uid_t uid, char *ret, size_t size, struct error *err);
