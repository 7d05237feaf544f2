/* SPDX-License-Identifier: Apache-2.0 */
/* Whose capabilities count in a network namespace: user_namespaces(7). */
#pragma once

#include <sys/types.h>

#include "base/error.h"

enum authority {
	AUTHORITY_NONE,         /* the namespace belongs to somebody above: no capability of theirs counts */
	AUTHORITY_CAPABILITIES, /* those that they have */
	AUTHORITY_ALL, /* it belongs to somebody below, whom each of them with the right uid is the master of */
};

/*
 * What processes in the user namespace of pid can be over netns. The caller makes sure that pid is still who it was
 * (pidfd).
 */
int authority_over(int netns, pid_t pid, enum authority *ret, struct error *err);
