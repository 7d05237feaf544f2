/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/remains.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/access_log.h"
#include "proxy/filter.h"

struct remain {
	uint32_t use; /* enum scoreboard_use */
	struct scoreboard_slot slot;
	size_t host_len;
	char host[HOST_NAME_MAX_LEN + 1];
};

/* The rule that decided is what the policy says now, where that is still in the line that the worker named. */
static const struct image_rule *find_rule(
	const struct image *image, const struct host *host, const struct scoreboard_slot *slot)
{
	struct host canonical;
	if (host_parse(host->name, host->len, &canonical) && host_parse_bracketed(host->name, host->len, &canonical))
		return NULL;
	const struct image_rule *rule = filter_decide(image, &canonical, slot->port).rule;
	return rule && rule->line == slot->rule_line ? rule : NULL;
}

/* Copies it, and clears it. The shared memory is read once: what it says may change meanwhile. */
static bool take(struct scoreboard *board, uint32_t n_slots, uint32_t i, struct remain *ret)
{
	struct scoreboard_slot *slot = &board->slots[i];
	ret->use = atomic_exchange(&slot->used, SCOREBOARD_FREE);
	if (ret->use == SCOREBOARD_FREE)
		return false;
	memcpy(&ret->slot, slot, sizeof(*slot));
	ret->host_len = scoreboard_copy_host(board, n_slots, i, &ret->slot, ret->host);
	return true;
}

static void write_remain(
	struct access_log *log, const struct image *image, const struct remain *remain, enum reason reason)
{
	const struct scoreboard_slot *slot = &remain->slot;
	struct host host = { .kind = HOST_NAME, .len = (uint8_t) remain->host_len };
	memcpy(host.name, remain->host, host.len);
	bool dialled = slot->dialled.family == AF_INET || slot->dialled.family == AF_INET6;
	int64_t now = clock_realtime_ms();

	const struct access_entry entry = {
		.host = host.len > 0 ? &host : NULL,
		.port = slot->port,
		.dialled = dialled ? &slot->dialled : NULL,
		.rule = find_rule(image, &host, slot),
		.reason = reason,
		.passed = remain->use == SCOREBOARD_COUNTED,
		.bytes_up = slot->bytes_up,
		.bytes_down = slot->bytes_down,
		.duration_ms = slot->started_ms > 0 && slot->started_ms < now ? now - slot->started_ms : 0,
	};
	access_log_write(log, &entry);
}

/* As its worker would have at its end (proxy/ending.c). */
static void count(struct scoreboard *board, const struct remain *remain, enum reason reason)
{
	struct scoreboard_counters *counters = &board->counters;
	if (remain->use != SCOREBOARD_COUNTED)
		atomic_fetch_add(&counters->failed, 1);
	atomic_fetch_add(&counters->bytes_up, remain->slot.bytes_up);
	atomic_fetch_add(&counters->bytes_down, remain->slot.bytes_down);
	scoreboard_count(board, reason);
}

void remains_write(struct scoreboard *board, uint32_t n_slots, const struct image *image, const char *container,
	enum reason reason, int log_fd)
{
	struct access_log *log = NULL;
	struct remain remain;
	atomic_store(&board->counters.open, 0);
	memory_populate(board->slots, n_slots * sizeof(board->slots[0]));
	for (uint32_t i = 0; i < n_slots; i++) {
		if (!take(board, n_slots, i, &remain) || remain.use == SCOREBOARD_BETWEEN)
			continue;
		count(board, &remain, reason);
		if (log || access_log_new(log_fd, container, strlen(container), image, 0, -1, &board->counters, &log,
				   NULL) == 0)
			write_remain(log, image, &remain, reason);
	}
	access_log_free(log);
}
