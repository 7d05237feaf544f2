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

#define ATTEMPT_DELAY_MS 250 /* RFC 8305 section 5: Connection Attempt Delay */

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

bool dial_is_permitted(const struct image *image, int route_fd, const struct address *address)
{
	return check(image, route_fd, address) != ROUTE_FORBIDDEN;
}

/* RFC 8305 section 4, with a First Address Family Count of 1. */
static void interleave(struct dial *dial, const struct address *addresses, const bool *usable, size_t n)
{
	size_t at[2] = { 0, 0 };
	static const sa_family_t families[2] = { AF_INET6, AF_INET };
	for (unsigned turn = 0; at[0] < n || at[1] < n; turn = !turn) {
		size_t *i = &at[turn];
		while (*i < n && !(usable[*i] && addresses[*i].family == families[turn]))
			++*i;
		if (*i < n)
			dial->addresses[dial->n++] = addresses[(*i)++];
	}
}

enum reason dial_prepare(struct dial *ret, const struct image *image, int route_fd, const struct address *addresses,
	size_t n, uint16_t port, struct address *ret_forbidden)
{
	bool usable[RESOLVER_ADDRESSES_MAX];
	if (n > RESOLVER_ADDRESSES_MAX)
		n = RESOLVER_ADDRESSES_MAX;
	for (size_t i = 0; i < n; i++) {
		enum route_kind kind = check(image, route_fd, &addresses[i]);
		if (kind == ROUTE_FORBIDDEN) {
			*ret_forbidden = addresses[i];
			return REASON_ADDRESS_FORBIDDEN;
		}
		usable[i] = kind == ROUTE_UNICAST;
	}

	*ret = (struct dial){ .port = port, .failure = REASON_CONNECT_UNREACHABLE };
	interleave(ret, addresses, usable, n);
	return ret->n > 0 ? REASON_NONE : REASON_CONNECT_UNREACHABLE;
}

void dial_prepare_unchecked(struct dial *ret, const struct address *address, uint16_t port)
{
	*ret = (struct dial){ .port = port, .n = 1, .failure = REASON_CONNECT_UNREACHABLE };
	ret->addresses[0] = *address;
}

void dial_begin(struct dial *dial, int64_t now_ms, uint32_t timeout_ms)
{
	dial->started_ms = now_ms;
	dial->deadline_ms = now_ms + timeout_ms;
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

static int call_connect(int fd, const struct address *address, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t len = address_to_sockaddr(address, port, &to);
	return connect(fd, (const struct sockaddr *) &to, len) < 0 ? -errno : 0;
}

static int start_connect(const struct address *address, uint16_t port)
{
	_cleanup_close_ int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	int on = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0)
		return -errno;
	int r = call_connect(fd, address, port);
	if (r < 0 && r != -EINPROGRESS)
		return r;
	return TAKE_FD(fd);
}

/* Out of those in flight. */
static int take_attempt(struct dial *dial, unsigned i)
{
	struct dial_attempt *attempts = dial->attempts;
	int fd = attempts[i].fd;
	dial->n_attempts--;
	memmove(&attempts[i], &attempts[i + 1], (dial->n_attempts - i) * sizeof(*attempts));
	return fd;
}

const struct dial_attempt *dial_next(struct dial *dial, int64_t now_ms)
{
	if (dial->next < dial->n && dial->n_attempts == DIAL_ATTEMPTS_MAX)
		close(take_attempt(dial, 0));
	while (dial->next < dial->n) {
		uint8_t i = dial->next++;
		int fd = start_connect(&dial->addresses[i], dial->port);
		if (fd >= 0) {
			struct dial_attempt *attempt = &dial->attempts[dial->n_attempts++];
			*attempt = (struct dial_attempt){ .fd = fd, .address = i, .started_ms = now_ms };
			return attempt;
		}
		dial->failure = failure_reason(-fd);
	}
	return NULL;
}

int dial_take_only(struct dial *dial, struct address *ret_address)
{
	if (dial->next != 1 || dial->n_attempts != 1)
		return -1;
	*ret_address = dial->addresses[dial->attempts[0].address];
	return take_attempt(dial, 0);
}

/*
 * A second connect(2) says how the first one stands: EALREADY, its error, or none. So it need not be known which socket
 * an event was of.
 */
int dial_check(struct dial *dial, struct address *ret_address)
{
	for (unsigned i = 0; i < dial->n_attempts;) {
		const struct address *address = &dial->addresses[dial->attempts[i].address];
		int r = call_connect(dial->attempts[i].fd, address, dial->port);
		if (r == 0 || r == -EISCONN) {
			*ret_address = *address;
			return take_attempt(dial, i);
		}
		if (r == -EALREADY) {
			i++;
			continue;
		}
		dial->failure = failure_reason(-r);
		close(take_attempt(dial, i));
	}
	return -1;
}

int64_t dial_due_ms(const struct dial *dial)
{
	if (dial->next >= dial->n || dial->n_attempts == 0)
		return dial->deadline_ms;
	int64_t due_ms = dial->attempts[dial->n_attempts - 1].started_ms + ATTEMPT_DELAY_MS;
	if (dial->n_attempts == DIAL_ATTEMPTS_MAX) {
		/* as long for each as lets every address have its turn */
		int64_t share_ms = (dial->deadline_ms - dial->started_ms) * DIAL_ATTEMPTS_MAX / dial->n;
		int64_t oldest_ms = dial->attempts[0].started_ms + share_ms;
		due_ms = oldest_ms > due_ms ? oldest_ms : due_ms;
	}
	return due_ms < dial->deadline_ms ? due_ms : dial->deadline_ms;
}

void dial_close(struct dial *dial)
{
	while (dial && dial->n_attempts > 0)
		close(take_attempt(dial, 0));
}
