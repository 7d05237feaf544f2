/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FNV-1a, byte by byte from HASH_INIT on: for tables whose size is bounded. Whoever chooses what is hashed can make it
 * collide.
 */
#pragma once

#include <stdint.h>

#define HASH_INIT 2166136261u

static inline uint32_t hash_add(uint32_t hash, unsigned char byte)
{
	return (hash ^ byte) * 16777619u;
}
