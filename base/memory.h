/* SPDX-License-Identifier: Apache-2.0 */
/* Large pieces of memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define MEMORY_LARGE (4u << 20)

/*
 * Says that memory from malloc(3) will be filled from end to end: where it is large, large pages are asked for
 * (madvise(2), MADV_HUGEPAGE). Some tens of megabytes then cost tens of page faults, not ten thousand, and no misses in
 * the TLB: a third of the time that a policy of a million entries took. A wish, no more: nothing depends on it.
 */
static inline void memory_fill_soon(void *memory, size_t size)
{
	const uintptr_t page = 4096;
	if (!memory || size < MEMORY_LARGE)
		return;
	uintptr_t from = ((uintptr_t) memory + page - 1) & ~(page - 1), to = ((uintptr_t) memory + size) & ~(page - 1);
	(void) madvise((char *) memory + (from - (uintptr_t) memory), to - from, MADV_HUGEPAGE);
}

/*
 * Makes the whole pages in memory there, in one call (madvise(2), MADV_POPULATE_WRITE, Linux 5.14), for whoever is
 * about to write to most of them: a page fault each takes ten times as long. A wish as well.
 */
void memory_populate(void *memory, size_t size);

/* And for the code and constants of the program and of the libraries that it runs with, which are files' pages. */
void memory_populate_code(void);
