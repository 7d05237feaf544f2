/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <link.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE ((uintptr_t) 4096) /* where pages are larger, calls that are not aligned to them fail: nothing is lost */

void memory_populate(void *memory, size_t size)
{
	uintptr_t from = ((uintptr_t) memory + PAGE - 1) & ~(PAGE - 1), to = ((uintptr_t) memory + size) & ~(PAGE - 1);
	if (memory && from < to)
		(void) madvise((char *) memory + (from - (uintptr_t) memory), to - from, MADV_POPULATE_WRITE);
}

static int populate_object(struct dl_phdr_info *object, size_t size, void *arg)
{
	(void) size;
	(void) arg;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		uintptr_t from = object->dlpi_addr + segment->p_vaddr, to = from + segment->p_memsz;
		from &= ~(PAGE - 1);
		(void) madvise((void *) from, to - from, MADV_POPULATE_READ);
	}
	return 0;
}

void memory_populate_code(void)
{
	(void) dl_iterate_phdr(populate_object, NULL);
}
