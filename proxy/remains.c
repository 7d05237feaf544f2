/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/remains.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "proxy/access_log.h"

struct remain {
	struct scoreboard_slot slot;
	const struct image_rule *rule;
};

static int compare_lines(const void *a, const void *b)
{
	uint32_t x = ((const struct remain *) a)->slot.rule_line;
	uint32_t y = ((const struct remain *) b)->slot.rule_line;
	return (x > y) - (x < y);
}

static size_t first_of_line(const struct remain *remains, size_t n, uint32_t line)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (remains[middle].slot.rule_line < line)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Tables are sorted by key, not by line, and may have a million entries: one pass over them for all slots. */
static void find_rules(const struct image *image, struct image_table table, struct remain *remains, size_t n)
{
	const struct image_rule *rules = image_records(image, table);
	for (uint32_t i = 0; i < table.count; i++)
		for (size_t k = first_of_line(remains, n, rules[i].line);
			k < n && remains[k].slot.rule_line == rules[i].line; k++)
			remains[k].rule = &rules[i];
}

/* Copies what is used, and clears it. */
static size_t take(struct scoreboard *board, uint32_t n_slots, struct remain *remains)
{
	size_t n = 0;
	for (uint32_t i = 0; i < n_slots; i++) {
		struct scoreboard_slot *slot = &board->slots[i];
		if (!atomic_load(&slot->used))
			continue;
		if (remains) {
			memcpy(&remains[n].slot, slot, sizeof(*slot));
			remains[n].rule = NULL;
			atomic_store(&slot->used, 0);
		}
		n++;
	}
	return n;
}

static int64_t realtime_ms(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void write_remain(struct access_log *log, const struct remain *remain, enum reason reason)
{
	const struct scoreboard_slot *slot = &remain->slot;
	struct host host = { .kind = HOST_NAME };
	host.len = slot->host_len <= HOST_NAME_MAX_LEN ? slot->host_len : HOST_NAME_MAX_LEN;
	memcpy(host.name, slot->host, host.len);
	bool dialled = slot->dialled.family == AF_INET || slot->dialled.family == AF_INET6;
	int64_t now = realtime_ms();

	const struct access_entry entry = {
		.host = host.len > 0 ? &host : NULL,
		.port = slot->port,
		.dialled = dialled ? &slot->dialled : NULL,
		.rule = remain->rule,
		.reason = reason,
		.tunnel = dialled,
		.bytes_up = slot->bytes_up,
		.bytes_down = slot->bytes_down,
		.duration_ms = slot->started_ms > 0 && slot->started_ms < now ? now - slot->started_ms : 0,
	};
	access_log_write(log, &entry);
}

void remains_write(
	struct scoreboard *board, const struct image *image, const char *container, enum reason reason, int log_fd)
{
	uint32_t n_slots = image->limits.connections;
	atomic_store(&board->counters.open, 0);
	size_t n = take(board, n_slots, NULL);
	if (n == 0)
		return;
	_cleanup_free_ struct remain *remains = calloc(n, sizeof(*remains));
	if (!remains)
		return;
	n = take(board, n_slots, remains);
	qsort(remains, n, sizeof(*remains), compare_lines);
	find_rules(image, image->allow, remains, n);
	find_rules(image, image->deny, remains, n);

	struct access_log *log;
	if (access_log_new(log_fd, container, strlen(container), image, 0, -1, &board->counters, &log, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		write_remain(log, &remains[i], reason);
	access_log_free(log);
}
