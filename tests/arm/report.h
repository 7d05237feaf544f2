/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that are armed in the tests say about themselves: the same lines from each, and one hash. */
#pragma once

#define REPORT_HASH_START 2166136261u

/* FNV-1a over the string and its NUL. */
static inline unsigned report_hash(unsigned hash, const char *text)
{
	do
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	while (*text++);
	return hash;
}
