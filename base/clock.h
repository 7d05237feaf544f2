/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time and spans, in milliseconds: INT64_MAX is never. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(struct timespec ts)
{
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* CLOCK_MONOTONIC: for whatever waits. */
static inline int64_t clock_now_ms(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return clock_ms(ts);
}

/* CLOCK_REALTIME: since the epoch, and set by people. */
static inline int64_t clock_realtime_ms(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return clock_ms(ts);
}

static inline int64_t clock_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}
