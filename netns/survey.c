/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/survey.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "netns/link.h"
#include "netns/netlink.h"

#define GOING_AWAY_MS 1000

struct survey {
	int lo, ours; /* indexes, 0: there is none */
	int foreign;  /* the first one that is in the way, or 0; -1: one that the kernel does not name */
	const char *what;
};

static bool survey_link(const struct netlink_link *link, void *arg)
{
	struct survey *survey = arg;

	if (link->flags & IFF_LOOPBACK)
		survey->lo = link->index;
	else if (strcmp(link->name, LINK_NAME) == 0)
		survey->ours = link->index;
	else if (link->flags & IFF_UP) {
		survey->foreign = link->index;
		survey->what = "is up";
	}
	return !survey->foreign;
}

static bool survey_is_foreign(struct survey *survey, int index, const char *what)
{
	if (index == survey->lo || (index != 0 && index == survey->ours))
		return false;
	survey->foreign = index ? index : -1;
	survey->what = what;
	return true;
}

static bool survey_address(int index, void *arg)
{
	return !survey_is_foreign(arg, index, "has an address");
}

static bool survey_route(int index, void *arg)
{
	return !survey_is_foreign(arg, index, "has a route");
}

/* The dump that met a foreign interface was left in the middle: the name needs a socket of its own. */
static int survey_refuse(const struct survey *survey, struct error *err)
{
	struct netlink_link link = { .name = "?" };
	struct netlink *netlink = NULL;

	if (netlink_open(&netlink, NULL) == 0 && survey->foreign > 0)
		(void) netlink_get_link(netlink, survey->foreign, &link, NULL);
	netlink_close(netlink);
	return error_say(err, EBUSY,
		"the container's network namespace has an interface that leads elsewhere: %.*s (index %d) %s", IFNAMSIZ,
		link.name, survey->foreign, survey->what);
}

static int survey_foreign(struct netlink *netlink, int *ret_ours, struct error *err)
{
	struct survey survey = { .what = NULL };

	int r = netlink_each_link(netlink, survey_link, &survey, err);
	if (r == 0 && !survey.foreign)
		r = netlink_each_address(netlink, survey_address, &survey, err);
	if (r == 0 && !survey.foreign)
		r = netlink_each_route(netlink, survey_route, &survey, err);
	if (r == 0 && survey.foreign)
		r = survey_refuse(&survey, err);
	if (r == 0)
		*ret_ours = survey.ours;
	return r;
}

static int survey_is_free(void *arg, struct error *err)
{
	struct netlink_link link;
	int r = netlink_find_link(arg, LINK_NAME, &link, err);

	if (r == -ENODEV)
		return 1;
	return r < 0 ? r : 0;
}

static int survey_await_free(struct netlink *netlink, struct error *err)
{
	_cleanup_close_ int watch = -1;
	int r = netlink_watch(&watch, err);

	if (r == 0)
		r = netlink_await(watch, GOING_AWAY_MS, survey_is_free, netlink, err);
	if (r == 0)
		r = error_say(err, EEXIST, LINK_NAME " is there already, in the container's network namespace");
	return r < 0 ? r : 0;
}

int survey_await_gone(struct error *err)
{
	struct netlink *netlink = NULL;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = survey_await_free(netlink, err);
	netlink_close(netlink);
	return r;
}

int survey(struct error *err)
{
	struct netlink *netlink = NULL;
	int ours = 0;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = survey_foreign(netlink, &ours, err);
	if (r == 0 && ours)
		r = survey_await_free(netlink, err);
	netlink_close(netlink);
	if (r < 0)
		error_close(err);
	return r;
}
