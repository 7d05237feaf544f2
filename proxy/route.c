/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int route_open(int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return error_set(err, errno, "socket AF_NETLINK");
	/* bound to the kernel: nobody else can put an answer into the queue */
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (connect(fd, (const struct sockaddr *) &kernel, sizeof(kernel)) < 0)
		return error_set(err, errno, "connect AF_NETLINK");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

struct route_request {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attribute;
	uint8_t address[16];
};

static int send_request(int fd, const struct address *address, uint32_t sequence)
{
	size_t len = address->family == AF_INET ? 4 : 16;
	struct route_request request = {
		.header = {
			.nlmsg_len = (uint32_t) (offsetof(struct route_request, address) + len),
			.nlmsg_type = RTM_GETROUTE,
			.nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = sequence,
		},
		.route = { .rtm_family = (unsigned char) address->family, .rtm_dst_len = (unsigned char) (len * 8) },
		.attribute = { .rta_len = (unsigned short) (sizeof(struct rtattr) + len), .rta_type = RTA_DST },
	};
	memcpy(request.address, address->bytes, len);
	return send(fd, &request, request.header.nlmsg_len, 0) < 0 ? -errno : 0;
}

static enum route_kind classify_error(int error)
{
	switch (error) {
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EAFNOSUPPORT:
	case -EOPNOTSUPP: /* IPv6 is not compiled in: nobody registered for the family */
		return ROUTE_NONE;
	default:
		return ROUTE_FORBIDDEN;
	}
}

static enum route_kind classify(const struct nlmsghdr *header, size_t len, const struct address *address)
{
	const void *body = (const char *) header + NLMSG_HDRLEN; /* NLMSG_DATA() casts const away */
	if (header->nlmsg_type == NLMSG_ERROR && len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return classify_error(((const struct nlmsgerr *) body)->error);
	if (header->nlmsg_type != RTM_NEWROUTE || len < NLMSG_LENGTH(sizeof(struct rtmsg)))
		return ROUTE_FORBIDDEN;

	const struct rtmsg *route = body;
	if (route->rtm_family != address->family)
		return ROUTE_FORBIDDEN;
	return route->rtm_type == RTN_UNICAST ? ROUTE_UNICAST : ROUTE_FORBIDDEN;
}

enum route_kind route_lookup(int fd, const struct address *address)
{
	static uint32_t sequence;
	if (send_request(fd, address, ++sequence) < 0)
		return ROUTE_FORBIDDEN;

	/* an answer to an earlier request, which a failed recv(2) left in the queue, is passed over */
	alignas(struct nlmsghdr) char answer[4096];
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		if (n < (ssize_t) sizeof(struct nlmsghdr))
			return ROUTE_FORBIDDEN;
		const struct nlmsghdr *header = (const struct nlmsghdr *) answer;
		if (header->nlmsg_len > (size_t) n)
			return ROUTE_FORBIDDEN;
		if (header->nlmsg_seq == sequence)
			return classify(header, header->nlmsg_len, address);
	}
}
