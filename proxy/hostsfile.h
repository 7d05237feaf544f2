/* SPDX-License-Identifier: Apache-2.0 */
/* The host's hosts file, hosts(5): looked through once, so that asking it costs the same however long it is. */
#pragma once

#include <stddef.h>

#include "base/address.h"
#include "base/error.h"
#include "base/host.h"

#define HOSTSFILE_SIZE_MAX (16u << 20) /* the block lists that some keep in it have 2 MiB and more */
#define HOSTSFILE_NAMES_MAX (1u << 20) /* names behind these are not found */
#define HOSTSFILE_ADDRESSES_MAX 16     /* of one name, as often as it is named; those behind are not found */

struct hostsfile;

/* Of text that must stay. Lines with an address that is not canonical text are passed over. */
int hostsfile_new(const char *text, size_t len, struct hostsfile **ret, struct error *err);
void hostsfile_free(struct hostsfile *hosts);

/*
 * The addresses that are given to exactly this canonical name (ASCII case and one trailing dot apart), in the file's
 * order, at most max, doubles once.
 */
size_t hostsfile_find(const struct hostsfile *hosts, const struct host *host, struct address *addresses, size_t max);
