/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/veth.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <linux/if.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "netns/link.h"
#include "netns/listener.h"
#include "netns/netlink.h"
#include "netns/netns.h"
#include "netns/settings.h"
#include "netns/survey.h"

#define VETH_UP_MS 2000

/* One end, as seen from its own namespace. */
struct end {
	struct netlink *netlink;
	int watch; /* subscribed before the end was raised: no change is missed */
	int index;
};

/* Both, while they are being made. */
struct veth {
	const struct link_config *config;
	int netns; /* the container's */
	struct end transit, container;
	int listener;
};

static void end_close(struct end *end)
{
	netlink_close(end->netlink);
	cleanup_close(&end->watch);
}

static int end_open(struct end *end, struct error *err)
{
	int r = netlink_open(&end->netlink, err);
	return r < 0 ? r : netlink_watch(&end->watch, err);
}

/* Settings before the address, both before it is up: at no moment does the end do what it is not meant to. */
static int end_raise(struct end *end, const char *name, struct in_addr address, uint8_t prefix, struct error *err)
{
	int r = settings_interface(end->netlink, end->index, name, err);

	if (r == 0)
		r = netlink_add_address(end->netlink, end->index, address, prefix, err);
	if (r == 0)
		r = netlink_set_up(end->netlink, end->index, true, err);
	return r;
}

static int end_is_up(void *arg, struct error *err)
{
	const struct end *end = arg;
	struct netlink_link link;

	int r = netlink_get_link(end->netlink, end->index, &link, err);
	return r < 0 ? r : link.operstate == IF_OPER_UP;
}

/*
 * An end that is up sends only after the kernel's link watch has run, up to a second later: what is sent before is
 * lost, and with it the answer to somebody's first SYN. Looking the end up makes the link watch run on newer kernels.
 */
static int end_await_up(struct end *end, const char *name, struct error *err)
{
	int r = netlink_await(end->watch, VETH_UP_MS, end_is_up, end, err);

	if (r == 0)
		r = error_say(err, ETIMEDOUT, "%s did not come up within %d ms", name, VETH_UP_MS);
	return r < 0 ? r : 0;
}

/*
 * The request goes through a socket of the transit's: the two namespaces get ids for each other then, and the container
 * none for the host's. The transit's index is unlike the peer's, which is small: link watch is in no hurry for an
 * interface whose index equals its peer's, though they are of different namespaces.
 */
static int veth_add(struct veth *veth, struct error *err)
{
	struct netlink_link link;

	int r = netlink_add_veth(
		veth->transit.netlink, LINK_TRANSIT_NAME, LINK_TRANSIT_INDEX, LINK_NAME, veth->netns, err);
	if (r == -EEXIST) /* never oe1: nobody has been in the transit yet */
		return error_close(err);
	if (r < 0)
		return r;

	veth->transit.index = LINK_TRANSIT_INDEX; /* there is something to remove from here on */
	r = netlink_get_link(veth->transit.netlink, LINK_TRANSIT_INDEX, &link, err);
	if (r == 0)
		veth->container.index = link.peer;
	return r;
}

static int veth_in_transit(void *arg, struct error *err)
{
	struct veth *veth = arg;
	const struct link_config *config = veth->config;

	int r = settings_transit(err);
	if (r == 0)
		r = end_open(&veth->transit, err);
	if (r == 0)
		r = veth_add(veth, err);
	if (r == 0)
		r = end_raise(&veth->transit, LINK_TRANSIT_NAME, config->proxy, config->prefix, err);
	if (r == 0)
		r = listener_open(config->proxy, config->port, &veth->listener, err);
	return r;
}

static int veth_in_container(void *arg, struct error *err)
{
	struct veth *veth = arg;
	const struct link_config *config = veth->config;

	int r = end_open(&veth->container, err);
	if (r == 0)
		r = end_raise(&veth->container, LINK_NAME, config->container, config->prefix, err);
	return r;
}

static int veth_connect(struct veth *veth, struct error *err)
{
	int r = netns_call_fresh(veth_in_transit, veth, err);
	if (r < 0)
		return error_wrap(err, "transit");

	r = netns_call(veth->netns, veth_in_container, veth, err);
	if (r == 0)
		r = end_await_up(&veth->transit, LINK_TRANSIT_NAME, err);
	if (r == 0)
		r = end_await_up(&veth->container, LINK_NAME, err);
	if (r < 0) {
		error_wrap(err, "container's end");
		error_close(err); /* who is root in there can pull it down as fast as we raise it */
	}
	return r;
}

int veth_make(int netns, const struct link_config *config, int *ret_listener, struct error *err)
{
	struct veth veth = {
		.config = config,
		.netns = netns,
		.transit = { .watch = -1 },
		.container = { .watch = -1 },
		.listener = -1,
	};

	int r = veth_connect(&veth, err);
	if (r < 0 && veth.transit.index)
		(void) netlink_delete(veth.transit.netlink, veth.transit.index, NULL);
	end_close(&veth.transit);
	end_close(&veth.container);
	if (r < 0)
		cleanup_close(&veth.listener);
	else
		*ret_listener = veth.listener;
	return r;
}

static int veth_remove_here(void *arg, struct error *err)
{
	struct netlink *netlink = NULL;

	(void) arg;
	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_delete(netlink, LINK_TRANSIT_INDEX, err);
	netlink_close(netlink);
	return r;
}

int veth_remove(int listener, struct error *err)
{
	_cleanup_close_ int transit = ioctl(listener, SIOCGSKNS);
	if (transit < 0)
		return error_set(err, errno, "the listener's network namespace");
	return netns_call(transit, veth_remove_here, NULL, err);
}

static int veth_await_gone_here(void *arg, struct error *err)
{
	(void) arg;
	return survey_await_gone(err);
}

int veth_await_gone(int netns, struct error *err)
{
	return netns_call(netns, veth_await_gone_here, NULL, err);
}
