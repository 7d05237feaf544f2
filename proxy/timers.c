/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/timers.h"

#include <assert.h>
#include <stddef.h>

static_assert((int) TIMER_KINDS <= TIMER_KEYS, "a kind fits behind its due_ms");

void timers_init(struct timers *timers)
{
	timers->first = NULL;
}

/* Of two heaps, each without siblings. NULL: an empty one. */
static struct timer *join(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->key < a->key) {
		struct timer *later = a;
		a = b;
		b = later;
	}
	b->back = a;
	b->next = a->child;
	if (a->child)
		a->child->back = b;
	a->child = b;
	return a;
}

/* Of siblings: in pairs, then the pairs, the last one first. It is this order that bounds the cost. */
static struct timer *join_all(struct timer *siblings)
{
	struct timer *pairs = NULL, *all = NULL;
	while (siblings) {
		struct timer *a = siblings, *b = a->next;
		siblings = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = join(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *pair = pairs;
		pairs = pair->next;
		pair->next = NULL;
		all = join(all, pair);
	}
	return all;
}

static void leave_siblings(struct timer *timer)
{
	if (timer->back->child == timer)
		timer->back->child = timer->next;
	else
		timer->back->next = timer->next;
	if (timer->next)
		timer->next->back = timer->back;
}

void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t due_ms)
{
	timers_stop(timers, timer);
	timer->key = due_ms * TIMER_KEYS + (int64_t) kind;
	timers->first = join(timers->first, timer);
}

void timers_stop(struct timers *timers, struct timer *timer)
{
	if (!timer->key)
		return;
	struct timer *children = join_all(timer->child);
	if (timer == timers->first) {
		timers->first = children;
	} else {
		leave_siblings(timer);
		timers->first = join(timers->first, children);
	}
	*timer = (struct timer){ 0 };
}

struct timer *timers_take_due(struct timers *timers, int64_t now_ms, enum timer_kind *ret_kind)
{
	struct timer *first = timers->first;
	if (!first || timers_next(timers) > now_ms)
		return NULL;
	*ret_kind = timer_kind(first);
	timers_stop(timers, first);
	return first;
}

int64_t timers_next(const struct timers *timers)
{
	return timers->first ? timers->first->key / TIMER_KEYS : INT64_MAX;
}
