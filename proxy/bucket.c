/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/bucket.h"

static int64_t most(uint32_t rate)
{
	uint32_t part = rate / BUCKET_PART;
	return 1000 * (int64_t) (part > 0 ? part : 1);
}

int64_t bucket_level(struct bucket *bucket, uint32_t rate, int64_t now_ms)
{
	int64_t full = most(rate);
	if (bucket->at_ms == 0) {
		bucket->milli = full;
	} else {
		int64_t lacks = full - bucket->milli, ms = now_ms - bucket->at_ms;
		/* a rate per second is as many thousandths per millisecond */
		bucket->milli = ms > lacks / rate ? full : bucket->milli + ms * rate;
	}
	bucket->at_ms = now_ms;
	return bucket->milli / 1000;
}

void bucket_take(struct bucket *bucket, uint32_t n)
{
	bucket->milli -= 1000 * (int64_t) n;
}

int64_t bucket_when_ms(const struct bucket *bucket, uint32_t rate, uint32_t n)
{
	int64_t wanted = 1000 * (int64_t) n, full = most(rate);
	int64_t lacks = (wanted < full ? wanted : full) - bucket->milli;
	return lacks > 0 ? bucket->at_ms + (lacks + rate - 1) / rate : bucket->at_ms;
}
