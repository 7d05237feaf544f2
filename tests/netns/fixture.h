/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world per test, made of network namespaces and gone with it: a host H, which the test process itself is in, a
 * container C, which is empty, and where asked for an Internet I, joined to H by a veth, with H forwarding to it.
 */
#pragma once

/* cmocka.h wants these in front of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "netns/link.h"

#define FIXTURE_PORT 3128
#define FIXTURE_INTERNET "203.0.113.1"     /* I's address on the way to H */
#define FIXTURE_HOST_OUTSIDE "203.0.113.2" /* H's on the way to I */
#define FIXTURE_HOST_INSIDE "198.51.100.7" /* another of H's, on its lo */

struct fixture {
	int machine; /* where the test program came from */
	int host, container, internet;
	struct link_config config;
};

/* cmocka's set-up and teardown. */
int fixture_setup(void **state);
int fixture_setup_internet(void **state);
int fixture_teardown(void **state);

/* A new, empty namespace. */
int fixture_netns(void);

/* The namespace a socket belongs to. */
int fixture_netns_of(int sock);

/* Runs a shell command in netns and fails the test unless it succeeds. */
void fixture_sh(int netns, const char *command);

/* What it printed, to be freed. */
char *fixture_output(int netns, const char *command);

/* Everything of the network's that can be seen in netns, as text to be compared and freed. */
char *fixture_snapshot(int netns);

/* The value of a file under /proc/sys/net in netns, e.g. "ipv4/conf/all/rp_filter". */
int fixture_setting(int netns, const char *name);

/* link_make() that must succeed. */
struct link fixture_link(const struct fixture *fixture, enum link_kind kind);

/* A connection from the container over the link, and what the listener accepted of it. */
void fixture_connect(const struct fixture *fixture, const struct link *link, int *ret_client, int *ret_server);

/* connect(2) from netns; 0 or errno, and how long it took. */
int fixture_try(int netns, int family, const char *address, uint16_t port, int *ret_ms);

bool fixture_has_link(int netns, const char *name);

int64_t fixture_now_ms(void);
