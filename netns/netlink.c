/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define NETLINK_EACH_MAX 65536
#define NETLINK_DUMP_TRIES 4
#define WATCH_DRAIN_MAX 256

struct netlink {
	struct nl_sock *sock;
};

/* One request under way. */
struct exchange {
	bool (*each)(struct nlmsghdr *msg, void *arg); /* a message of the answer; false: no more of them, please */
	void *arg;
	size_t n;
	bool done;
	int errnum; /* that the kernel answered with, or 0 */
};

static void cleanup_msg(struct nl_msg **msg)
{
	nlmsg_free(*msg);
}
#define _cleanup_msg_ __attribute__((cleanup(cleanup_msg)))

/* libnl has its own error numbers, and not for every errno: for failures that are not the kernel's answer. */
static int netlink_errno(int nle)
{
	return -nle == NLE_NOMEM ? ENOMEM : EIO;
}

int netlink_open(struct netlink **ret, struct error *err)
{
	struct netlink *netlink = calloc(1, sizeof(*netlink));
	if (netlink)
		netlink->sock = nl_socket_alloc();
	if (!netlink || !netlink->sock) {
		netlink_close(netlink);
		return error_set(err, ENOMEM, "netlink socket");
	}
	int r = nl_connect(netlink->sock, NETLINK_ROUTE);
	if (r < 0) {
		netlink_close(netlink);
		return error_say(err, netlink_errno(r), "netlink socket: %s", nl_geterror(r));
	}
	/* Interface messages have no upper bound that a fixed buffer would fit: alternative names, VFs. */
	nl_socket_enable_msg_peek(netlink->sock);
	*ret = netlink;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	nl_socket_free(netlink->sock);
	free(netlink);
}

static int exchange_on_valid(struct nl_msg *msg, void *arg)
{
	struct exchange *exchange = arg;

	exchange->n++;
	if (exchange->n > NETLINK_EACH_MAX)
		exchange->errnum = E2BIG;
	else if (!exchange->each || exchange->each(nlmsg_hdr(msg), exchange->arg))
		return NL_OK;
	exchange->done = true;
	return NL_STOP;
}

static int exchange_on_end(struct nl_msg *msg, void *arg)
{
	(void) msg;
	((struct exchange *) arg)->done = true;
	return NL_STOP;
}

static int exchange_on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct exchange *exchange = arg;

	(void) from;
	exchange->errnum = -error->error;
	exchange->done = true;
	return NL_STOP;
}

/* Sends one request and takes its whole answer. Returns 0, -errno as the kernel said (err is not set), or -EINTR. */
static int netlink_exchange(struct netlink *netlink, struct nl_msg *msg, struct exchange *exchange)
{
	if (!msg)
		return -ENOMEM;
	struct nl_cb *cb = nl_cb_alloc(NL_CB_CUSTOM);
	if (!cb)
		return -ENOMEM;
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, exchange_on_valid, exchange);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, exchange_on_end, exchange);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, exchange_on_end, exchange);
	nl_cb_err(cb, NL_CB_CUSTOM, exchange_on_error, exchange);

	int r = nl_send_auto(netlink->sock, msg);
	while (r >= 0 && !exchange->done)
		r = nl_recvmsgs(netlink->sock, cb);
	nl_cb_put(cb);

	if (exchange->errnum)
		return -exchange->errnum;
	if (r == -NLE_DUMP_INTR)
		return -EINTR;
	return r < 0 && !exchange->done ? -netlink_errno(r) : 0;
}

/* A request that is answered by an acknowledgement or by one message and an acknowledgement. */
static int netlink_ask(struct netlink *netlink, struct nl_msg *msg, bool (*each)(struct nlmsghdr *, void *), void *arg)
{
	struct exchange exchange = { .each = each, .arg = arg };
	return netlink_exchange(netlink, msg, &exchange);
}

/* A dump. One that a change interfered with is asked for again (netlink(7), NLM_F_DUMP_INTR). */
static int netlink_dump(struct netlink *netlink, struct nl_msg *msg, bool (*each)(struct nlmsghdr *, void *), void *arg)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < NETLINK_DUMP_TRIES; i++) {
		if (msg) {
			nlmsg_hdr(msg)->nlmsg_seq = NL_AUTO_SEQ;
			nlmsg_hdr(msg)->nlmsg_pid = NL_AUTO_PORT;
		}
		r = netlink_ask(netlink, msg, each, arg);
	}
	return r;
}

static struct nl_msg *message(int type, int flags, const void *header, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	if (!msg)
		return NULL;

	void *at = nlmsg_reserve(msg, len, NLMSG_ALIGNTO);
	if (!at) {
		nlmsg_free(msg);
		return NULL;
	}
	memcpy(at, header, len);
	return msg;
}

static struct nl_msg *link_message(int type, int flags, int index)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	return message(type, flags, &header, sizeof(header));
}

static void link_parse_kind(struct nlattr *linkinfo, struct netlink_link *ret)
{
	struct nlattr *attrs[IFLA_INFO_MAX + 1];

	if (nla_parse_nested(attrs, IFLA_INFO_MAX, linkinfo, NULL) == 0 && attrs[IFLA_INFO_KIND])
		(void) nla_strlcpy(ret->kind, attrs[IFLA_INFO_KIND], sizeof(ret->kind));
}

static bool link_parse(struct nlmsghdr *msg, struct netlink_link *ret)
{
	struct nlattr *attrs[IFLA_MAX + 1];

	if (msg->nlmsg_type != RTM_NEWLINK || nlmsg_parse(msg, sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) < 0)
		return false;
	const struct ifinfomsg *header = nlmsg_data(msg);
	*ret = (struct netlink_link){ .index = header->ifi_index, .flags = header->ifi_flags };
	if (attrs[IFLA_IFNAME])
		(void) nla_strlcpy(ret->name, attrs[IFLA_IFNAME], sizeof(ret->name));
	if (attrs[IFLA_OPERSTATE])
		ret->operstate = nla_get_u8(attrs[IFLA_OPERSTATE]);
	if (attrs[IFLA_LINK])
		ret->peer = (int) nla_get_u32(attrs[IFLA_LINK]);
	if (attrs[IFLA_LINKINFO])
		link_parse_kind(attrs[IFLA_LINKINFO], ret);
	ret->elsewhere = attrs[IFLA_LINK_NETNSID] != NULL;
	return true;
}

struct each_link {
	bool (*fn)(const struct netlink_link *link, void *arg);
	void *arg;
};

static bool each_link(struct nlmsghdr *msg, void *arg)
{
	const struct each_link *each = arg;
	struct netlink_link link;

	return !link_parse(msg, &link) || each->fn(&link, each->arg);
}

int netlink_each_link(
	struct netlink *netlink, bool (*fn)(const struct netlink_link *link, void *arg), void *arg, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_GETLINK, NLM_F_DUMP, 0);
	if (msg && nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
		return error_set(err, ENOMEM, "list of interfaces");

	struct each_link each = { .fn = fn, .arg = arg };
	int r = netlink_dump(netlink, msg, each_link, &each);
	return r < 0 ? error_set(err, -r, "list of interfaces") : 0;
}

struct each_index {
	bool (*fn)(int index, void *arg);
	void *arg;
};

static bool each_address(struct nlmsghdr *msg, void *arg)
{
	const struct each_index *each = arg;

	if (msg->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(msg, sizeof(struct ifaddrmsg)))
		return true;
	const struct ifaddrmsg *header = nlmsg_data(msg);
	return each->fn((int) header->ifa_index, each->arg);
}

int netlink_each_address(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err)
{
	struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
	_cleanup_msg_ struct nl_msg *msg = message(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));

	struct each_index each = { .fn = fn, .arg = arg };
	int r = netlink_dump(netlink, msg, each_address, &each);
	return r < 0 ? error_set(err, -r, "list of addresses") : 0;
}

/* Each nexthop of a multipath route: rtnetlink(7), RTA_MULTIPATH. */
static bool each_nexthop(const struct nlattr *attr, const struct each_index *each)
{
	const char *at = nla_data(attr);
	size_t left = (size_t) nla_len(attr);

	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		memcpy(&hop, at, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
			break;
		if (!each->fn(hop.rtnh_ifindex, each->arg))
			return false;
		size_t step = NLMSG_ALIGN((size_t) hop.rtnh_len); /* as RTNH_ALIGN(), which is signed */
		if (step > left)
			break;
		at += step;
		left -= step;
	}
	return true;
}

static bool each_route(struct nlmsghdr *msg, void *arg)
{
	const struct each_index *each = arg;
	struct nlattr *attrs[RTA_MAX + 1];

	if (msg->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(msg, sizeof(struct rtmsg), attrs, RTA_MAX, NULL) < 0)
		return true;
	const struct rtmsg *header = nlmsg_data(msg);
	uint32_t table = attrs[RTA_TABLE] ? nla_get_u32(attrs[RTA_TABLE]) : header->rtm_table;
	if (table == RT_TABLE_LOCAL)
		return true;
	if (attrs[RTA_OIF])
		return each->fn((int) nla_get_u32(attrs[RTA_OIF]), each->arg);
	if (attrs[RTA_MULTIPATH])
		return each_nexthop(attrs[RTA_MULTIPATH], each);
	return header->rtm_type != RTN_UNICAST || each->fn(0, each->arg);
}

int netlink_each_route(struct netlink *netlink, bool (*fn)(int index, void *arg), void *arg, struct error *err)
{
	struct rtmsg header = { .rtm_family = AF_UNSPEC };
	_cleanup_msg_ struct nl_msg *msg = message(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));

	struct each_index each = { .fn = fn, .arg = arg };
	int r = netlink_dump(netlink, msg, each_route, &each);
	return r < 0 ? error_set(err, -r, "list of routes") : 0;
}

struct one_link {
	struct netlink_link link;
	bool there;
};

static bool one_link(struct nlmsghdr *msg, void *arg)
{
	struct one_link *one = arg;

	one->there = link_parse(msg, &one->link);
	return true;
}

static int netlink_one_link(struct netlink *netlink, struct nl_msg *msg, struct netlink_link *ret)
{
	struct one_link one = { .there = false };
	int r = netlink_ask(netlink, msg, one_link, &one);

	if (r == 0 && !one.there)
		r = -EPROTO;
	if (r == 0)
		*ret = one.link;
	return r;
}

int netlink_get_link(struct netlink *netlink, int index, struct netlink_link *ret, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_GETLINK, 0, index);
	int r = netlink_one_link(netlink, msg, ret);
	return r < 0 ? error_set(err, -r, "look up interface %d", index) : 0;
}

int netlink_find_link(struct netlink *netlink, const char *name, struct netlink_link *ret, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_GETLINK, 0, 0);
	if (msg && nla_put_string(msg, IFLA_IFNAME, name) < 0)
		return error_set(err, ENOMEM, "look up interface %s", name);
	int r = netlink_one_link(netlink, msg, ret);
	return r < 0 ? error_set(err, -r, "look up interface %s", name) : 0;
}

/* One queue: a veth gets as many as there are CPUs, each with memory, and takes no lock on any. */
static bool put_end(struct nl_msg *msg, const char *name)
{
	return nla_put_string(msg, IFLA_IFNAME, name) == 0 && nla_put_u32(msg, IFLA_NUM_TX_QUEUES, 1) == 0 &&
	       nla_put_u32(msg, IFLA_NUM_RX_QUEUES, 1) == 0;
}

static bool put_veth(struct nl_msg *msg, const char *name, const char *peer_name, int peer_netns)
{
	struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };

	if (!put_end(msg, name))
		return false;
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
	if (!info || nla_put_string(msg, IFLA_INFO_KIND, "veth") < 0)
		return false;
	struct nlattr *data = nla_nest_start(msg, IFLA_INFO_DATA);
	struct nlattr *end = data ? nla_nest_start(msg, VETH_INFO_PEER) : NULL;
	if (!end || nlmsg_append(msg, &peer, sizeof(peer), NLMSG_ALIGNTO) < 0 || !put_end(msg, peer_name) ||
		nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t) peer_netns) < 0)
		return false;
	nla_nest_end(msg, end);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
	return true;
}

int netlink_add_veth(
	struct netlink *netlink, const char *name, int index, const char *peer_name, int peer_netns, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index);
	if (!msg || !put_veth(msg, name, peer_name, peer_netns))
		return error_set(err, ENOMEM, "make a veth");
	int r = netlink_ask(netlink, msg, NULL, NULL);
	return r < 0 ? error_set(err, -r, "make a veth, %s and %s", name, peer_name) : 0;
}

static bool put_devconf(struct nl_msg *msg, const struct netlink_devconf *conf, size_t n)
{
	struct nlattr *spec = nla_nest_start(msg, IFLA_AF_SPEC);
	struct nlattr *inet = spec ? nla_nest_start(msg, AF_INET) : NULL;
	struct nlattr *values = inet ? nla_nest_start(msg, IFLA_INET_CONF) : NULL;

	if (!values)
		return false;
	for (size_t i = 0; i < n; i++)
		if (nla_put_u32(msg, conf[i].id, conf[i].value) < 0)
			return false;
	nla_nest_end(msg, values);
	nla_nest_end(msg, inet);
	nla_nest_end(msg, spec);
	return true;
}

int netlink_set_devconf(
	struct netlink *netlink, int index, const struct netlink_devconf *conf, size_t n, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_SETLINK, 0, index);
	if (!msg || !put_devconf(msg, conf, n))
		return error_set(err, ENOMEM, "settings of interface %d", index);
	int r = netlink_ask(netlink, msg, NULL, NULL);
	return r < 0 ? error_set(err, -r, "settings of interface %d", index) : 0;
}

static int netlink_address(struct netlink *netlink, int type, int flags, int index, struct in_addr address,
	uint8_t prefix, struct error *err)
{
	struct ifaddrmsg header = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = prefix,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (uint32_t) index,
	};
	_cleanup_msg_ struct nl_msg *msg = message(type, flags, &header, sizeof(header));

	if (!msg || nla_put(msg, IFA_LOCAL, sizeof(address), &address) < 0 ||
		nla_put(msg, IFA_ADDRESS, sizeof(address), &address) < 0)
		return error_set(err, ENOMEM, "address of interface %d", index);
	int r = netlink_ask(netlink, msg, NULL, NULL);
	return r < 0 ? error_set(err, -r, "address of interface %d", index) : 0;
}

int netlink_add_address(struct netlink *netlink, int index, struct in_addr address, uint8_t prefix, struct error *err)
{
	return netlink_address(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address, prefix, err);
}

int netlink_remove_address(
	struct netlink *netlink, int index, struct in_addr address, uint8_t prefix, struct error *err)
{
	return netlink_address(netlink, RTM_DELADDR, 0, index, address, prefix, err);
}

int netlink_set_up(struct netlink *netlink, int index, bool up, struct error *err)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP,
	};
	_cleanup_msg_ struct nl_msg *msg = message(RTM_SETLINK, 0, &header, sizeof(header));

	int r = netlink_ask(netlink, msg, NULL, NULL);
	return r < 0 ? error_set(err, -r, "bring interface %d %s", index, up ? "up" : "down") : 0;
}

int netlink_delete(struct netlink *netlink, int index, struct error *err)
{
	_cleanup_msg_ struct nl_msg *msg = link_message(RTM_DELLINK, 0, index);
	int r = netlink_ask(netlink, msg, NULL, NULL);
	return r < 0 ? error_set(err, -r, "remove interface %d", index) : 0;
}

int netlink_watch(int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return error_set(err, errno, "netlink socket");
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
		return error_set(err, errno, "watch interfaces");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/*
 * What the notifications say does not matter, nor that some were lost (ENOBUFS): fn asks for itself. Bounded: who is
 * root in that namespace can make them faster than they are read.
 */
static void watch_drain(int watch)
{
	char byte;
	for (int i = 0; i < WATCH_DRAIN_MAX; i++)
		if (recv(watch, &byte, sizeof(byte), MSG_TRUNC) < 0)
			break;
}

int netlink_await(int watch, int timeout_ms, int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	int64_t deadline = clock_now_ms() + timeout_ms;

	for (;;) {
		watch_drain(watch);
		int r = fn(arg, err);
		int64_t left = deadline - clock_now_ms();
		if (r != 0 || left <= 0)
			return r;
		struct pollfd event = { .fd = watch, .events = POLLIN };
		if (poll(&event, 1, (int) left) < 0 && errno != EINTR)
			return error_set(err, errno, "poll");
	}
}
