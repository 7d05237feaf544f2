/* SPDX-License-Identifier: Apache-2.0 */
/* Where a hook's time goes, step by step, for `hook --timings FILE`: one JSON line per run, in microseconds. */
#pragma once

#include <stdint.h>

#define TIMINGS_MAX 16

struct timings {
	int n;
	int64_t start_us;
	struct {
		const char *step;
		int64_t end_us;
	} at[TIMINGS_MAX];
};

void timings_start(struct timings *timings);

/* The step that has just ended. */
void timings_mark(struct timings *timings, const char *step);

/* Appends {"plan":123,...,"total":...} to the file; a failure is not worth a word. */
void timings_write(const struct timings *timings, const char *file);
