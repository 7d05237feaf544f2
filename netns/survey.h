/* SPDX-License-Identifier: Apache-2.0 */
/* Is the container's namespace ours alone? */
#pragma once

#include "base/error.h"

struct foreign;

/*
 * In the namespace that this thread is in now: there is no interface but lo and oe0 (else -EBUSY), up or down: who has
 * NET_ADMIN in the container raises one that is down. Or, where *ret is given, those that there are (-E2BIG: too many).
 * The kernel's own fallback devices do not count while they are idle: what tunl0, sit0, gre0 and their like send goes
 * out by a route of the same namespace. And there is no oe0, or it goes away within a second (else -EEXIST): the kernel
 * removes asynchronously what a listener kept. An error is the container's side's: err->closed.
 */
int survey(struct foreign *ret, struct error *err);

/* The same where oe0 is there by right, or there is a socket link: only the others are looked for. */
int survey_shared(struct foreign *ret, struct error *err);

/* Waits until there is no oe0 in the namespace that this thread is in now, a second at most (else -EEXIST). */
int survey_await_gone(struct error *err);
