/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/timers.h"

#include <stddef.h>

void timers_init(struct timers *timers)
{
	for (int i = 0; i < TIMER_KINDS; i++)
		TAILQ_INIT(&timers->lists[i]);
}

void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t due_ms)
{
	timers_stop(timers, timer);
	timer->kind = kind;
	timer->due_ms = due_ms;

	struct timer *before = TAILQ_LAST(&timers->lists[kind], timer_list);
	while (before && before->due_ms > due_ms)
		before = TAILQ_PREV(before, timer_list, entry);
	if (before)
		TAILQ_INSERT_AFTER(&timers->lists[kind], before, timer, entry);
	else
		TAILQ_INSERT_HEAD(&timers->lists[kind], timer, entry);
}

void timers_stop(struct timers *timers, struct timer *timer)
{
	if (timer->kind)
		TAILQ_REMOVE(&timers->lists[timer->kind], timer, entry);
	timer->kind = 0;
}

struct timer *timers_take_due(struct timers *timers, int64_t now_ms, enum timer_kind *ret_kind)
{
	for (int i = 0; i < TIMER_KINDS; i++) {
		struct timer *first = TAILQ_FIRST(&timers->lists[i]);
		if (first && first->due_ms <= now_ms) {
			*ret_kind = first->kind;
			timers_stop(timers, first);
			return first;
		}
	}
	return NULL;
}

int64_t timers_next(const struct timers *timers)
{
	int64_t next = INT64_MAX;
	for (int i = 0; i < TIMER_KINDS; i++) {
		const struct timer *first = TAILQ_FIRST(&timers->lists[i]);
		if (first && first->due_ms < next)
			next = first->due_ms;
	}
	return next;
}
