/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/throttle.h"

#include "proxy/conn_parts.h"
#include "proxy/scoreboard.h"

#define TURNS_PER_SECOND 100 /* of the bucket's whole rate */
#define PORTION_MIN 1460     /* a segment: less is not worth its system calls */
#define PORTION_MAX (256u << 10)

static uint32_t rate_of(const struct conns *conns, enum relay_end from)
{
	const struct image_limits *limits = &conns->image->limits;
	return from == RELAY_CLIENT ? limits->bytes_per_second_up : limits->bytes_per_second_down;
}

/* What is given at a time; never more than the bucket holds. */
static uint32_t portion(uint32_t rate)
{
	uint32_t n = rate / TURNS_PER_SECOND, most = rate / BUCKET_PART;
	n = n < PORTION_MIN ? PORTION_MIN : n;
	n = n > PORTION_MAX ? PORTION_MAX : n;
	n = n > most ? most : n;
	return n > 0 ? n : 1;
}

/* A portion, or nothing. */
static uint32_t available(struct conns *conns, enum relay_end from)
{
	uint32_t rate = rate_of(conns, from);
	if (rate == 0)
		return UINT32_MAX;
	return bucket_level(&conns->throttle.buckets[from], rate, conns->now_ms) >= portion(rate) ? portion(rate) : 0;
}

bool throttle_give(struct conn *conn, struct relay_leave *ret)
{
	struct conns *conns = conn->conns;
	if (rate_of(conns, RELAY_CLIENT) == 0 && rate_of(conns, RELAY_ORIGIN) == 0)
		return false;
	*ret = (struct relay_leave){ 0 };
	for (int i = 0; i < RELAY_ENDS; i++) {
		/* behind those who wait already, unless it is this one's turn */
		bool may = conns->throttle.n_waiting[i] == 0 || conns->throttle.served == conn;
		ret->bytes[i] = may ? available(conns, (enum relay_end) i) : 0;
	}
	return true;
}

static void wait_for(struct conn *conn, enum relay_end from)
{
	struct throttle *throttle = &conn->conns->throttle;
	if (conn->waits[from])
		return;
	if (!conn->waits[from == RELAY_CLIENT ? RELAY_ORIGIN : RELAY_CLIENT])
		TAILQ_INSERT_TAIL(&throttle->queue, conn, throttle_entry);
	conn->waits[from] = true;
	throttle->n_waiting[from]++;
	scoreboard_count(conn->conns->board, REASON_LIMIT_BYTES);
}

void throttle_settle(struct conn *conn, const struct relay_leave *given, const struct relay_leave *left)
{
	struct conns *conns = conn->conns;
	for (int i = 0; i < RELAY_ENDS; i++) {
		if (rate_of(conns, (enum relay_end) i) > 0)
			bucket_take(&conns->throttle.buckets[i], given->bytes[i] - left->bytes[i]);
		if (left->wanted[i])
			wait_for(conn, (enum relay_end) i);
	}
}

void throttle_forget(struct conn *conn)
{
	struct throttle *throttle = &conn->conns->throttle;
	if (!conn->waits[RELAY_CLIENT] && !conn->waits[RELAY_ORIGIN])
		return;
	TAILQ_REMOVE(&throttle->queue, conn, throttle_entry);
	for (int i = 0; i < RELAY_ENDS; i++) {
		throttle->n_waiting[i] -= conn->waits[i];
		conn->waits[i] = false;
	}
}

static bool can_be_served(struct conn *conn)
{
	for (int i = 0; i < RELAY_ENDS; i++)
		if (conn->waits[i] && available(conn->conns, (enum relay_end) i) > 0)
			return true;
	return false;
}

static bool is_anybody_due(struct conns *conns)
{
	for (int i = 0; i < RELAY_ENDS; i++)
		if (conns->throttle.n_waiting[i] > 0 && available(conns, (enum relay_end) i) > 0)
			return true;
	return false;
}

void throttle_run(struct conns *conns)
{
	/* those that want more still queue up behind the last one */
	const struct conn *last = TAILQ_LAST(&conns->throttle.queue, conn_list);
	struct conn *next = TAILQ_FIRST(&conns->throttle.queue);
	for (struct conn *conn; (conn = next) && is_anybody_due(conns);) {
		next = conn == last ? NULL : TAILQ_NEXT(conn, throttle_entry);
		if (!can_be_served(conn))
			continue;
		throttle_forget(conn);
		conns->throttle.served = conn;
		conn_run(conn);
		conns->throttle.served = NULL;
	}
}

int64_t throttle_next_ms(struct conns *conns)
{
	int64_t next_ms = INT64_MAX;
	for (int i = 0; i < RELAY_ENDS; i++) {
		uint32_t rate = rate_of(conns, (enum relay_end) i);
		if (conns->throttle.n_waiting[i] == 0)
			continue;
		int64_t due_ms = rate == 0 ? 0 : bucket_when_ms(&conns->throttle.buckets[i], rate, portion(rate));
		next_ms = due_ms < next_ms ? due_ms : next_ms;
	}
	return next_ms;
}
