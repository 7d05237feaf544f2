/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy of tests/fuzz/talk.h: a worker's loop, of which each turn is called for, with a clock that moves when it is
 * told to. What must be so between two turns, and when all is over, is checked here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALK_POLICIES 7

/* Compiles the policies; once. */
void talk_proxy_world(void);

void talk_proxy_begin(unsigned policy, bool external);
/* A new version of the policy. */
void talk_proxy_reload(unsigned policy);

/* One turn. Returns whether there is more to do at once. */
bool talk_proxy_turn(void);
/* Turns until there is nothing left to do but wait. */
void talk_proxy_settle(void);
/* How many bytes of the proxy's the kernel holds that it has not sent. */
size_t talk_proxy_unsent(void);
/* So many milliseconds, with a turn whenever the loop would have woken up. */
void talk_proxy_wait(int64_t ms);
/* Until the loop wakes up of itself. False: it never will. */
bool talk_proxy_wake(void);

/* How many lines of the log there are, of connections and exchanges. */
struct talk_log {
	size_t n_lines;
	size_t n_http;    /* by plain HTTP */
	size_t n_allowed; /* whose reason is "allowed" */
	size_t n_denied;
	size_t n_unreached; /* of these: before anything was dialled */
	bool was_long;      /* longer than some policy gives those who do nothing */
};

/* Nothing is left, and everything was counted. */
void talk_proxy_end(struct talk_log *ret);
