/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/filter.h"
#include "proxy/route.h"

/* filter_check_address() names a network only for an address of the floor; this host's own may be any. */
static bool is_in_networks(const struct image *image, const struct address *address)
{
	const struct image_network *networks = image_records(image, image->networks);
	for (uint32_t i = 0; i < image->networks.count; i++) {
		struct network network = {
			.base.family = (sa_family_t) networks[i].family,
			.prefix = (uint8_t) networks[i].prefix,
		};
		memcpy(network.base.bytes, networks[i].bytes, sizeof(network.base.bytes));
		if (network_contains(&network, address))
			return true;
	}
	return false;
}

static enum route_kind check(const struct image *image, int route_fd, const struct address *address)
{
	if (filter_check_address(image, address, NULL) != REASON_ALLOWED)
		return ROUTE_FORBIDDEN;
	if (is_in_networks(image, address))
		return ROUTE_UNICAST;
	return route_lookup(route_fd, address);
}

static void add_family(
	struct dial *dial, sa_family_t family, const struct address *addresses, const bool *usable, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (usable[i] && addresses[i].family == family)
			dial->addresses[dial->n++] = addresses[i];
}

enum reason dial_prepare(struct dial *ret, const struct image *image, int route_fd, const struct address *addresses,
	size_t n, uint16_t port)
{
	bool usable[RESOLVER_ADDRESSES_MAX];
	if (n > RESOLVER_ADDRESSES_MAX)
		n = RESOLVER_ADDRESSES_MAX;
	for (size_t i = 0; i < n; i++) {
		enum route_kind kind = check(image, route_fd, &addresses[i]);
		if (kind == ROUTE_FORBIDDEN)
			return REASON_ADDRESS_FORBIDDEN;
		usable[i] = kind == ROUTE_UNICAST;
	}

	struct dial dial = { .port = port, .failure = REASON_CONNECT_UNREACHABLE };
	add_family(&dial, AF_INET, addresses, usable, n);
	add_family(&dial, AF_INET6, addresses, usable, n);
	if (dial.n == 0)
		return REASON_CONNECT_UNREACHABLE;
	*ret = dial;
	return REASON_NONE;
}

void dial_prepare_unchecked(struct dial *ret, const struct address *address, uint16_t port)
{
	*ret = (struct dial){ .port = port, .n = 1, .failure = REASON_CONNECT_UNREACHABLE };
	ret->addresses[0] = *address;
}

static enum reason failure_reason(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET:
		return REASON_CONNECT_REFUSED;
	case ETIMEDOUT:
		return REASON_CONNECT_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EADDRNOTAVAIL: /* no port is left */
		return REASON_LIMIT_RESOURCES;
	default:
		return REASON_CONNECT_UNREACHABLE;
	}
}

static int start_connect(const struct address *address, uint16_t port)
{
	_cleanup_close_ int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	int on = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	struct sockaddr_storage to;
	socklen_t len = address_to_sockaddr(address, port, &to);
	if (connect(fd, (const struct sockaddr *) &to, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

int dial_next(struct dial *dial, struct address *ret_address)
{
	while (dial->next < dial->n) {
		const struct address *address = &dial->addresses[dial->next++];
		int fd = start_connect(address, dial->port);
		if (fd >= 0) {
			*ret_address = *address;
			return fd;
		}
		dial->failure = failure_reason(-fd);
	}
	return -1;
}

bool dial_connected(struct dial *dial, int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		dial->failure = failure_reason(error);
	return error == 0;
}
