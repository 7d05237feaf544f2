/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound ownership (GCC and clang: __attribute__((cleanup))). Declare where assigned; TAKE_* hands the thing on.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd); /* never retried: on Linux the descriptor is gone even after EINTR, close(2) */
		errno = saved;
	}
}

static inline void cleanup_free(void *p)
{
	free(*(void **) p);
}

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))
#define _cleanup_closedir_ __attribute__((cleanup(cleanup_closedir)))

/* The value of a variable, which no longer owns it. */
#define TAKE_FD(fd)                  \
	__extension__({              \
		int *take_ = &(fd);  \
		int taken_ = *take_; \
		*take_ = -1;         \
		taken_;              \
	})
#define TAKE_PTR(p)                            \
	__extension__({                        \
		__typeof__(p) *take_ = &(p);   \
		__typeof__(p) taken_ = *take_; \
		*take_ = NULL;                 \
		taken_;                        \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
