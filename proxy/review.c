/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/review.h"

#include <stdlib.h>

#include "proxy/access_log.h"
#include "proxy/conn_parts.h"
#include "proxy/dial.h"
#include "proxy/ending.h"
#include "proxy/filter.h"
#include "proxy/scoreboard.h"

static void set_rule(struct conn *conn, const struct image_rule *rule)
{
	conn->rule = rule;
	if (conn->slot)
		conn->slot->rule_line = rule ? rule->line : 0;
}

/* It is in the log by a copy: the version that allowed it goes. */
static void keep(struct conn *conn)
{
	if (conn->rule)
		conn->kept = access_log_keep_rule(conn->conns->log, conn->rule);
	set_rule(conn, NULL);
}

/* Returns whether it has ended: in the words of the version before, which had allowed it. */
static bool review_open(struct conn *conn, const struct image *image)
{
	struct decision decision = filter_decide(image, conn->host, conn->port);
	bool allowed = decision.reason == REASON_ALLOWED &&
		       (conn->dialled.family == 0 || dial_is_permitted(image, conn->conns->route, &conn->dialled));
	if (!allowed && image->on_reload == IMAGE_ON_RELOAD_END) {
		ending_abort(conn, REASON_POLICY_CHANGED);
		return true;
	}
	if (allowed) {
		set_rule(conn, decision.rule);
		free(conn->kept);
		conn->kept = NULL;
	} else {
		keep(conn);
	}
	return false;
}

/* One forbids all, as where it has just asked: dial_prepare(). */
static const struct address *find_forbidden(const struct conn *conn, const struct image *image)
{
	for (size_t i = 0; i < conn->dial->n; i++)
		if (!dial_is_permitted(image, conn->conns->route, &conn->dial->addresses[i]))
			return &conn->dial->addresses[i];
	return NULL;
}

/* The client still has no answer: it gets that of the new version. */
static void review_reaching(struct conn *conn, const struct image *image)
{
	struct decision decision = filter_decide(image, conn->host, conn->port);
	enum reason reason = decision.reason;
	set_rule(conn, decision.rule);
	const struct address *forbidden = reason == REASON_ALLOWED && conn->dial ? find_forbidden(conn, image) : NULL;
	if (forbidden) {
		reason = REASON_ADDRESS_FORBIDDEN;
		conn->dialled = *forbidden;
	}
	if (reason != REASON_ALLOWED)
		ending_refuse(conn, reason, NULL);
}

uint32_t review_conns(struct conns *conns, const struct image *image, uint32_t log_max)
{
	bool decides = conns->external_port == 0;
	uint32_t ended = 0;
	for (struct conn *conn = TAILQ_FIRST(&conns->open), *next; conn && decides; conn = next) {
		next = TAILQ_NEXT(conn, entry);
		if (conn->state == TUNNEL || conn->state == EXCHANGE)
			ended += review_open(conn, image);
		else
			conn->rule = NULL; /* not decided, decided below, or in the log already */
	}
	conns->image = image;
	access_log_follow(conns->log, image, log_max);
	for (struct conn *conn = TAILQ_FIRST(&conns->open), *next; conn && decides; conn = next) {
		next = TAILQ_NEXT(conn, entry);
		if (conn->state == RESOLVE || conn->state == DIAL)
			review_reaching(conn, image);
	}
	return ended;
}
