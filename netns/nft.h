/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for nftables, loaded by nft(8): libnftables is GPL-2, and would be linked into what is Apache-2.0. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * Has nft load this text into the network namespace that this thread is in now: all of it or nothing, in one step.
 * -ENOENT: there is no nft. -EEXIST: something that the text creates is there already.
 * -ENODEV: something that it names, an interface as a rule, is not there. Else -EIO, with nft's own words.
 */
int nft_load(const char *text, struct error *err);

/*
 * Is this base chain in the network namespace that this thread is in now? Asked of the kernel, family as in
 * linux/netfilter.h. 1, 0, or -errno.
 */
int nft_has_chain(uint8_t family, const char *table, const char *chain, struct error *err);
