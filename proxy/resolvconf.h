/* SPDX-License-Identifier: Apache-2.0 */
/* The host's name servers, read from text that reached us by descriptor, resolv.conf(5). */
#pragma once

#include <stddef.h>

#include "base/address.h"

#define RESOLVCONF_SIZE_MAX (4u << 20)
#define RESOLVCONF_SERVERS_MAX 3 /* MAXNS of resolv.conf(5) */

/* A name server; scope is the text behind '%' of a link-local address, empty elsewhere. */
struct resolvconf_server {
	struct address address;
	char scope[16];
};

/* The first servers of the `nameserver` lines; 127.0.0.1 where there is none. Returns their number, at least 1. */
size_t resolvconf_servers(const char *text, size_t len, struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX]);
