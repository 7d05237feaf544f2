/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/timings.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"

static int64_t now_us(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void timings_start(struct timings *timings)
{
	timings->n = 0;
	timings->start_us = now_us();
}

void timings_mark(struct timings *timings, const char *step)
{
	if (timings->n == TIMINGS_MAX)
		return;
	timings->at[timings->n].step = step;
	timings->at[timings->n++].end_us = now_us();
}

void timings_write(const struct timings *timings, const char *file)
{
	char line[1024];
	struct text text = text_init(line, sizeof(line));
	int64_t before = timings->start_us;
	text_add(&text, "{");
	for (int i = 0; i < timings->n; i++) {
		text_add(&text, "\"%s\":%lld,", timings->at[i].step, (long long) (timings->at[i].end_us - before));
		before = timings->at[i].end_us;
	}
	text_add(&text, "\"total\":%lld}\n", (long long) (before - timings->start_us));

	_cleanup_close_ int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void) io_write_all(fd, line, text.len, NULL);
}
