/* SPDX-License-Identifier: Apache-2.0 */
#include "talk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PROXY_PORT 3128
#define BYTES_MAX (1u << 20) /* of an end, each way */
#define PATIENCE_MS 5000
#define PROBE_MS 1000      /* tcp(7): a closed window is probed after a fifth of a second */
#define RECEIVE_BYTES 8192 /* so that an end that does not read is felt soon */

const char TALK_HOSTS[] = "198.51.100.7 origin.test www.test both.test\n"
			  "2001:db8::7 both.test six.test\n"
			  "198.51.100.10 slow.test second.test\n"
			  "198.51.100.7 second.test\n"
			  "198.51.100.8 denied.test\n"
			  "198.51.100.9 rebind.test\n";
const char TALK_RESOLV_CONF[] = "nameserver 127.0.0.1\n";

enum place_kind { ORIGIN, TRAP, SILENT };

/* Where one could get to. */
static const struct place {
	const char *address;
	enum place_kind kind;
} places[] = {
	{ "198.51.100.7", ORIGIN },
	{ "198.51.100.8", TRAP }, /* of a name that is denied */
	{ "198.51.100.9", TRAP }, /* of a name that is allowed, an address that is not */
	{ "198.51.100.10", SILENT },
	{ "127.0.0.1", TRAP },
};
static const uint16_t ports[] = { 80, 443 };

struct talk talk = { .listener = -1 };
static int arrivals = -1; /* epoll, of all listeners that are not the proxy's; the data is the descriptor */
static int traps[ARRAY_SIZE(places) * ARRAY_SIZE(ports)];
static size_t n_traps;
static int name_server = -1;

void talk_check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s (%s)\n", what, errno ? strerror(errno) : "no error");
	abort();
}

/* -- the namespace -- */

static void write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) /* such is the kernel that it has none of these */
		(void) !write(fd, text, strlen(text));
}

static struct sockaddr_in to_ipv4(const char *address, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	talk_check(inet_pton(AF_INET, address, &to.sin_addr) == 1, address);
	return to;
}

/* The loopback interface owns every address of a network that it has one of. */
static void configure_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	talk_check(ioctl(fd, SIOCSIFFLAGS, &request) == 0, "lo is up");

	struct sockaddr_in address = to_ipv4("198.51.100.1", 0), mask = to_ipv4("255.255.255.0", 0);
	struct ifreq alias = { .ifr_name = "lo:1" };
	memcpy(&alias.ifr_addr, &address, sizeof(address));
	talk_check(ioctl(fd, SIOCSIFADDR, &alias) == 0, "SIOCSIFADDR");
	memcpy(&alias.ifr_netmask, &mask, sizeof(mask));
	talk_check(ioctl(fd, SIOCSIFNETMASK, &alias) == 0, "SIOCSIFNETMASK");
}

static void configure_ipv6(void)
{
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* linux/ipv6.h has it, but not beside netinet/in.h */
	struct {
		struct in6_addr address;
		uint32_t prefix;
		int index;
	} request = { .prefix = 128, .index = 1 };
	talk_check(inet_pton(AF_INET6, "2001:db8::7", &request.address) == 1, "2001:db8::7");
	if (fd >= 0)
		(void) ioctl(fd, SIOCSIFADDR, &request);
}

/* Small buffers, so that little fills them; and no port waits for a minute after each script. */
static void configure_tcp(void)
{
	write_file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 131072");
	write_file("/proc/sys/net/ipv4/tcp_wmem", "4096 65536 65536");
	write_file("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1024");
	write_file("/proc/sys/net/ipv4/tcp_tw_reuse", "1");
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000");
}

/* -- listeners -- */

static int make_listener(const struct sockaddr *address, socklen_t len, int backlog)
{
	int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* an IPv6 address is there a moment after it was given */
	if (address->sa_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	if (fd >= 0 && bind(fd, address, len) == 0 && listen(fd, backlog) == 0)
		return fd;
	close(fd);
	return -1;
}

static int listen_at(const char *address, uint16_t port, int backlog)
{
	struct sockaddr_in at = to_ipv4(address, port);
	int fd = make_listener((const struct sockaddr *) &at, sizeof(at), backlog);
	talk_check(fd >= 0, address);
	return fd;
}

static void expect_arrivals(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	talk_check(epoll_ctl(arrivals, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

/* With a full backlog the kernel drops whatever else wants to connect. */
static void fill_backlog(const char *address, uint16_t port)
{
	struct sockaddr_in to = to_ipv4(address, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	talk_check(connect(fd, (const struct sockaddr *) &to, sizeof(to)) == 0, "connect");
}

static void open_place(const struct place *place, uint16_t port)
{
	int fd = listen_at(place->address, port, place->kind == SILENT ? 0 : 64);
	if (place->kind == SILENT) {
		fill_backlog(place->address, port);
		return;
	}
	if (place->kind == TRAP)
		traps[n_traps++] = fd;
	expect_arrivals(fd);
}

static void open_ipv6(uint16_t port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	talk_check(inet_pton(AF_INET6, "2001:db8::7", &at.sin6_addr) == 1, "2001:db8::7");
	int fd = make_listener((const struct sockaddr *) &at, sizeof(at), 64);
	if (fd >= 0)
		expect_arrivals(fd);
}

static void open_name_server(void)
{
	struct sockaddr_in at = to_ipv4("127.0.0.1", 53);
	name_server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	talk_check(bind(name_server, (const struct sockaddr *) &at, sizeof(at)) == 0, "bind port 53");
}

void talk_world(void)
{
	talk_check(unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
	configure_loopback();
	configure_ipv6();
	configure_tcp();
	arrivals = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(places); j++)
			open_place(&places[j], ports[i]);
		open_ipv6(ports[i]);
	}
	expect_arrivals(listen_at("127.0.0.1", TALK_EXTERNAL_PORT, 64));
	open_name_server();

	struct linger linger = { .l_onoff = 1 }; /* as the proxy's own listener has it */
	talk.listener = listen_at("127.0.0.1", PROXY_PORT, 64);
	talk_check(setsockopt(talk.listener, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0, "SO_LINGER");
}

/* -- ends -- */

/* The fuzzer has a timer that interrupts. */
static bool await(int fd, short events)
{
	struct pollfd wait = { .fd = fd, .events = events };
	int n;
	do
		n = poll(&wait, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static void reserve(struct talk_bytes *bytes, size_t n)
{
	if (bytes->n + n <= bytes->size)
		return;
	bytes->size = (bytes->n + n) * 2;
	bytes->bytes = realloc(bytes->bytes, bytes->size);
	talk_check(bytes->bytes != NULL, "memory");
}

static void begin_end(struct talk_end *end, int fd)
{
	int on = 1;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*end = (struct talk_end){
		.fd = fd,
		.sent = { .bytes = end->sent.bytes, .size = end->sent.size },
		.got = { .bytes = end->got.bytes, .size = end->got.size },
	};
	reserve(&end->sent, 1); /* never NULL, for memcmp(3) */
	reserve(&end->got, 1);
}

struct talk_end *talk_connect(void)
{
	if (talk.n_clients == TALK_CLIENTS)
		return NULL;
	int size = RECEIVE_BYTES, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in to = to_ipv4("127.0.0.1", PROXY_PORT);
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	int r = connect(fd, (const struct sockaddr *) &to, sizeof(to));
	talk_check(r == 0 || (errno == EINPROGRESS && await(fd, POLLOUT)), "connect to the proxy");
	begin_end(&talk.clients[talk.n_clients], fd);
	return &talk.clients[talk.n_clients++];
}

static void arrive(int listener)
{
	for (size_t i = 0; i < n_traps; i++)
		talk_check(traps[i] != listener, "nobody gets where the policy does not say so");
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
		if (talk.n_origins == TALK_ORIGINS)
			close(fd);
		else
			begin_end(&talk.origins[talk.n_origins++], fd);
	}
}

void talk_accept(void)
{
	struct epoll_event events[8];
	int n = epoll_wait(arrivals, events, ARRAY_SIZE(events), 0);
	for (int i = 0; i < n; i++)
		arrive(events[i].data.fd);
}

void talk_send(struct talk_end *end, const void *bytes, size_t n, bool urgent)
{
	if (end->fd < 0 || end->half_closed || n == 0 || end->sent.n + n > BYTES_MAX)
		return;
	reserve(&end->sent, n);
	ssize_t taken = send(end->fd, bytes, n, MSG_NOSIGNAL | (urgent ? MSG_OOB : 0));
	if (taken <= 0)
		return;
	memcpy(end->sent.bytes + end->sent.n, bytes, (size_t) taken);
	end->sent.n += (size_t) taken;
}

void talk_fill(struct talk_end *end, size_t n)
{
	static uint8_t bytes[256u << 10];
	n = n < sizeof(bytes) ? n : sizeof(bytes);
	for (size_t i = 0; i < n; i++) {
		size_t at = end->sent.n + i;
		bytes[i] = (uint8_t) (at ^ at >> 8 ^ at >> 16);
	}
	talk_send(end, bytes, n, false);
}

bool talk_read(struct talk_end *end, size_t most)
{
	bool any = false;
	while (end->fd >= 0 && most > 0 && !end->saw_end && !end->saw_reset) {
		size_t size = most < 65536 ? most : 65536;
		reserve(&end->got, size);
		ssize_t n = recv(end->fd, end->got.bytes + end->got.n, size, 0);
		if (n < 0 && errno == EAGAIN)
			break;
		any = true;
		end->saw_end = n == 0;
		end->saw_reset = n < 0;
		if (n <= 0)
			break;
		end->got.n += (size_t) n;
		most -= (size_t) n;
		talk_check(end->got.n <= 64u * BYTES_MAX, "no more comes than was sent");
	}
	return any;
}

void talk_half_close(struct talk_end *end)
{
	if (end->fd >= 0)
		(void) shutdown(end->fd, SHUT_WR);
	end->half_closed = true;
}

void talk_close(struct talk_end *end, bool reset)
{
	struct linger linger = { .l_onoff = reset };
	if (end->fd < 0)
		return;
	(void) setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(end->fd);
	end->fd = -1;
	end->gone = true;
}

static bool is_reading(const struct talk_end *end)
{
	return end->fd >= 0 && !end->saw_end && !end->saw_reset;
}

bool talk_owns(int fd)
{
	for (size_t i = 0; i < talk.n_clients; i++)
		if (talk.clients[i].fd == fd)
			return true;
	for (size_t i = 0; i < talk.n_origins; i++)
		if (talk.origins[i].fd == fd)
			return true;
	return false;
}

bool talk_await_bytes(void)
{
	struct pollfd waits[TALK_CLIENTS + TALK_ORIGINS];
	nfds_t n = 0;
	int ready;
	for (size_t i = 0; i < talk.n_clients; i++)
		if (is_reading(&talk.clients[i]))
			waits[n++] = (struct pollfd){ .fd = talk.clients[i].fd, .events = POLLIN };
	for (size_t i = 0; i < talk.n_origins; i++)
		if (is_reading(&talk.origins[i]))
			waits[n++] = (struct pollfd){ .fd = talk.origins[i].fd, .events = POLLIN };
	do
		ready = n > 0 ? poll(waits, n, PROBE_MS) : 0;
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/* -- the name server -- */

/* Behind the header and the question, whose name ends with its first empty label. Returns its length, 0: it is none. */
static size_t question_len(const uint8_t *query, size_t n)
{
	for (size_t at = 12; at < n; at += 1u + query[at])
		if (query[at] == 0)
			return at + 5 <= n ? at + 5 : 0;
	return 0;
}

static size_t write_answer(uint8_t *query, size_t n, char how, const void *bytes, size_t len)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7 };
	size_t end = question_len(query, n);
	if (end == 0 || (how != 'A' && how != 'N')) {
		memcpy(query + 2, bytes, len); /* behind the id */
		return 2 + len;
	}
	bool has = how == 'A' && query[end - 3] == 1; /* the type */
	memset(query + 6, 0, 6);
	query[2] = 0x81;
	query[3] = how == 'A' ? 0x80 : 0x83;
	query[7] = has;
	if (has)
		memcpy(query + end, record, sizeof(record));
	return end + (has ? sizeof(record) : 0);
}

void talk_answer(char how, const void *bytes, size_t n)
{
	uint8_t query[2048];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	n = n < 1024 ? n : 1024;
	for (ssize_t got; (got = recvfrom(name_server, query, 1024, 0, (struct sockaddr *) &from, &len)) >= 12;) {
		size_t size = write_answer(query, (size_t) got, how, bytes, n);
		(void) sendto(name_server, query, size, 0, (const struct sockaddr *) &from, len);
		len = sizeof(from);
	}
}

void talk_begin(void)
{
	talk.n_clients = talk.n_origins = 0;
}

/* Those whose connections are gone must have been told so: at once, but for the kernel's own work. */
static void await_end(struct talk_end *end)
{
	(void) talk_read(end, SIZE_MAX);
	while (end->fd >= 0 && !end->saw_end && !end->saw_reset) {
		talk_check(await(end->fd, POLLIN), "who is let go of is told so");
		(void) talk_read(end, SIZE_MAX);
	}
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
}

void talk_part(void)
{
	uint8_t query[1024];
	talk_accept();
	for (size_t i = 0; i < talk.n_clients; i++)
		await_end(&talk.clients[i]);
	for (size_t i = 0; i < talk.n_origins; i++)
		await_end(&talk.origins[i]);
	while (recv(name_server, query, sizeof(query), 0) >= 0)
		;
}
