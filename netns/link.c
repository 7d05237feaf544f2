/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netns/listener.h"
#include "netns/netlink.h"
#include "netns/netns.h"
#include "netns/survey.h"
#include "netns/veth.h"

#define LOOPBACK "lo"
#define LOOPBACK_PREFIX 8

/* Brings this namespace's lo up. Returns 1 where it was down, 0, or -errno. */
static int loopback_raise(struct error *err)
{
	struct netlink *netlink = NULL;
	struct netlink_link lo;
	bool down = false;

	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_find_link(netlink, LOOPBACK, &lo, err);
	if (r == 0) {
		down = !(lo.flags & IFF_UP);
		r = down ? netlink_set_up(netlink, lo.index, true, err) : 0;
	}
	netlink_close(netlink);
	return r < 0 ? r : down;
}

/* Down again. The address is one that the kernel gives a lo that is brought up without any, and does not take back. */
static int loopback_lower(void *arg, struct error *err)
{
	struct netlink *netlink = NULL;
	struct netlink_link lo;

	(void) arg;
	int r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_find_link(netlink, LOOPBACK, &lo, err);
	if (r == 0)
		r = netlink_set_up(netlink, lo.index, false, err);
	if (r == 0)
		r = netlink_remove_address(
			netlink, lo.index, (struct in_addr){ htonl(INADDR_LOOPBACK) }, LOOPBACK_PREFIX, err);
	netlink_close(netlink);
	return r;
}

struct socket_link {
	const struct link_config *config;
	struct link *link;
};

static int socket_link_here(void *arg, struct error *err)
{
	const struct socket_link *args = arg;
	struct link *link = args->link;

	int r = loopback_raise(err);
	if (r < 0)
		return r;
	link->raised_lo = r;
	r = listener_open(link->proxy, link->port, &link->listener, err);
	if (r < 0 && link->raised_lo)
		(void) loopback_lower(NULL, NULL);
	return r;
}

static int link_make_socket(int netns, const struct link_config *config, struct link *ret, struct error *err)
{
	struct link link = {
		.kind = LINK_SOCKET,
		.listener = -1,
		.proxy.s_addr = htonl(INADDR_LOOPBACK),
		.port = config->port,
		.container.s_addr = htonl(INADDR_LOOPBACK),
	};

	int r = netns_call(netns, socket_link_here, &(struct socket_link){ config, &link }, err);
	if (r < 0)
		return error_close(err);
	*ret = link;
	return 0;
}

static int link_make_veth(int netns, const struct link_config *config, struct link *ret, struct error *err)
{
	struct link link = {
		.kind = LINK_VETH,
		.listener = -1,
		.proxy = config->proxy,
		.port = config->port,
		.container = config->container,
	};

	int r = veth_make(netns, config, &link.listener, err);
	if (r < 0)
		return r;
	*ret = link;
	return 0;
}

static int survey_here(void *arg, struct error *err)
{
	return survey(arg, err);
}

static int survey_shared_here(void *arg, struct error *err)
{
	return survey_shared(arg, err);
}

static int link_survey(
	int netns, int (*survey_fn)(void *arg, struct error *err), struct foreign *ret, struct error *err)
{
	int r = netns_is_own(netns, err);
	if (r == 1)
		r = error_say(err, EXDEV, "the container's network namespace is the host's own");
	if (r == 0)
		r = netns_call(netns, survey_fn, ret, err);
	return r < 0 ? error_close(err) : 0;
}

int link_check(int netns, struct foreign *ret, struct error *err)
{
	return link_survey(netns, survey_here, ret, err);
}

int link_check_shared(int netns, struct foreign *ret, struct error *err)
{
	return link_survey(netns, survey_shared_here, ret, err);
}

int link_make(int netns, const struct link_config *config, struct link *ret, struct error *err)
{
	struct error why = { .code = 0 };

	int r = config->kind == LINK_SOCKET ? link_make_socket(netns, config, ret, &why)
					    : link_make_veth(netns, config, ret, &why);
	if (r < 0 && config->kind == LINK_AUTO && !why.closed)
		r = link_make_socket(netns, config, ret, &why);
	if (r < 0 && err)
		*err = why;
	return r;
}

void link_undo(int netns, struct link *link)
{
	if (link->listener < 0)
		return;

	bool removed = link->kind == LINK_VETH && veth_remove(link->listener, NULL) == 0;
	link_release(link);
	if (link->kind == LINK_VETH && !removed)
		(void) veth_await_gone(netns, NULL);
	if (link->raised_lo)
		(void) netns_call(netns, loopback_lower, NULL, NULL);
	link->raised_lo = false;
}

void link_release(struct link *link)
{
	cleanup_close(&link->listener);
	link->listener = -1;
}

struct probe {
	const struct link *link;
	int fd;
};

static int probe_here(void *arg, struct error *err)
{
	struct probe *probe = arg;

	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "probe socket");
	const struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = probe->link->container };
	if (bind(fd, (const struct sockaddr *) &sin, sizeof(sin)) < 0)
		return error_set(err, errno, "probe socket: bind");
	probe->fd = TAKE_FD(fd);
	return 0;
}

int link_probe_socket(int netns, const struct link *link, int *ret_fd, uint16_t *ret_port, struct error *err)
{
	struct probe probe = { .link = link, .fd = -1 };
	int r = netns_call(netns, probe_here, &probe, err);
	if (r < 0)
		return error_close(err);

	_cleanup_close_ int fd = probe.fd;
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	if (getsockname(fd, (struct sockaddr *) &sin, &len) < 0)
		return error_set(err, errno, "probe socket");
	*ret_port = ntohs(sin.sin_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
