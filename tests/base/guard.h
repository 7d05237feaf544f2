/* SPDX-License-Identifier: Apache-2.0 */
/* Input whose end lies on a page that cannot be read: a parser that looks one byte too far dies of it. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_SIZE 4096

/* A copy of the bytes, the last of them in front of the guard page. Valid until the next call. */
static inline const char *guarded(const char *bytes, size_t len)
{
	static char *map;
	if (!map) {
		long page = sysconf(_SC_PAGESIZE);
		size_t size = ((size_t) GUARD_SIZE + (size_t) page - 1) / (size_t) page * (size_t) page;
		void *p = mmap(NULL, size + (size_t) page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || mprotect((char *) p + size, (size_t) page, PROT_NONE) < 0)
			abort();
		map = (char *) p + size;
	}
	if (len > GUARD_SIZE)
		abort();
	if (len > 0)
		memcpy(map - len, bytes, len);
	return map - len;
}
