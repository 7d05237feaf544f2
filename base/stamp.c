/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stamp.h"

#include <stdio.h>

static unsigned long long nanoseconds(struct timespec ts)
{
	return (unsigned long long) ts.tv_sec * 1000000000u + (unsigned long long) ts.tv_nsec;
}

void stamp_make(const struct stat *st, char ret[STAMP_SIZE])
{
	(void) snprintf(ret, STAMP_SIZE, "%llx-%llx-%llx-%llx-%llx", (unsigned long long) st->st_dev,
		(unsigned long long) st->st_ino, (unsigned long long) st->st_size, nanoseconds(st->st_mtim),
		nanoseconds(st->st_ctim));
}

void stamp_path(const char *path, char ret[STAMP_SIZE])
{
	struct stat st;
	if (stat(path, &st) == 0)
		stamp_make(&st, ret);
	else
		(void) snprintf(ret, STAMP_SIZE, "%s", STAMP_NONE);
}
