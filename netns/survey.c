/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/survey.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "netns/foreign.h"
#include "netns/link.h"
#include "netns/netlink.h"

#define GOING_AWAY_MS 1000

#define LOOPBACK_INDEX 1 /* in every namespace, whatever it has been renamed to */

/* What the kernel puts into each namespace by itself once a tunnel's module is loaded. */
static const struct {
	const char *name, *kind;
} fallbacks[] = {
	{ "tunl0", "ipip" },
	{ "sit0", "sit" },
	{ "gre0", "gre" },
	{ "gretap0", "gretap" },
	{ "erspan0", "erspan" },
	{ "ip_vti0", "vti" },
	{ "ip6tnl0", "ip6tnl" },
	{ "ip6gre0", "ip6gre" },
	{ "ip6_vti0", "vti6" },
};

struct survey {
	int ours;       /* index, 0: there is none */
	bool fallbacks; /* there are some */
	int foreign;    /* the first one that is in the way, or 0; -1: one that the kernel does not name */
	const char *what;
	struct foreign *all; /* all that have a name; NULL: the first one is one too many */
};

/*
 * Name and kind are not enough: a tunnel that was made elsewhere and moved here keeps sending by the routes of there,
 * and one with an interface below it by that.
 */
static bool survey_is_fallback(const struct netlink_link *link)
{
	for (size_t i = 0; i < ARRAY_SIZE(fallbacks); i++)
		if (strcmp(link->name, fallbacks[i].name) == 0)
			return strcmp(link->kind, fallbacks[i].kind) == 0 && link->peer == 0 && !link->elsewhere;
	return false;
}

static bool survey_link(const struct netlink_link *link, void *arg)
{
	struct survey *survey = arg;

	if (link->index == LOOPBACK_INDEX)
		return true;
	if (strcmp(link->name, LINK_NAME) == 0) {
		survey->ours = link->index;
		return true;
	}
	if (survey_is_fallback(link) && !(link->flags & IFF_UP)) {
		survey->fallbacks = true;
		return true;
	}
	if (survey->all) {
		if (survey->all->n < FOREIGN_MAX)
			memcpy(survey->all->names[survey->all->n], link->name, sizeof(link->name));
		survey->all->n++;
		return true;
	}
	survey->foreign = link->index;
	survey->what = link->flags & IFF_UP ? "up" : "down, but can be raised from inside";
	return false;
}

static bool survey_is_foreign(struct survey *survey, int index, const char *what)
{
	if (index == LOOPBACK_INDEX || (index != 0 && index == survey->ours))
		return false;
	survey->foreign = index ? index : -1;
	survey->what = what;
	return true;
}

static bool survey_address(int index, void *arg)
{
	return !survey_is_foreign(arg, index, "with an address");
}

static bool survey_route(int index, void *arg)
{
	return !survey_is_foreign(arg, index, "with a route");
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
		"the container's network namespace has an interface that may lead elsewhere: %s (index %d, %s); remove "
		"it, or give the container a network namespace with nothing in it (podman and docker: --network none)",
		link.name, survey->foreign, survey->what);
}

/* Nobody but a fallback device could have an address or a route that matters. */
static int survey_foreign(struct netlink *netlink, struct foreign *ret, int *ret_ours, struct error *err)
{
	struct survey survey = { .what = NULL, .all = ret };

	if (ret)
		ret->n = 0;
	int r = netlink_each_link(netlink, survey_link, &survey, err);
	if (r == 0 && ret && ret->n > FOREIGN_MAX)
		r = error_say(err, E2BIG, "the container's network namespace has %zu interfaces, at most %d", ret->n,
			FOREIGN_MAX);
	if (r == 0 && !survey.foreign && survey.fallbacks)
		r = netlink_each_address(netlink, survey_address, &survey, err);
	if (r == 0 && !survey.foreign && survey.fallbacks)
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

int survey_shared(struct foreign *ret, struct error *err)
{
	struct netlink *netlink = NULL;
	int ours;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = survey_foreign(netlink, ret, &ours, err);
	netlink_close(netlink);
	return r < 0 ? error_close(err) : 0;
}

int survey(struct foreign *ret, struct error *err)
{
	struct netlink *netlink = NULL;
	int ours = 0;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = survey_foreign(netlink, ret, &ours, err);
	if (r == 0 && ours) {
		r = survey_await_free(netlink, err);
		if (r == 0) /* it may have been somebody's and not gone, but renamed */
			r = survey_foreign(netlink, ret, &ours, err);
		if (r == 0 && ours)
			r = error_say(err, EEXIST, LINK_NAME " comes and goes, in the container's network namespace");
	}
	netlink_close(netlink);
	if (r < 0)
		error_close(err);
	return r;
}
