/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket: what may be had per second, with as much saved up as fits in it. Its rate is given with every call,
 * since a reload may change it. Milliseconds of CLOCK_MONOTONIC, which may also stand still.
 */
#pragma once

#include <stdint.h>

/* All zero to begin with: full when first asked. */
struct bucket {
	int64_t at_ms; /* of level; 0: never asked */
	int64_t milli; /* thousandths of what is in it; below 0: had in advance */
};

/* What of a second fits in. */
#define BUCKET_PART 4

/* What can be had now; rate must not be 0. */
int64_t bucket_level(struct bucket *bucket, uint32_t rate, int64_t now_ms);

/* Takes it, also where it is more than there is: the next ones wait the longer. */
void bucket_take(struct bucket *bucket, uint32_t n);

/* When bucket_level() will be n, at most what fits in. Of the level that it last gave. */
int64_t bucket_when_ms(const struct bucket *bucket, uint32_t rate, uint32_t n);
