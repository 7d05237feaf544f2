/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/name_server.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/dns_message.h"

#define PORT 53
#define DATAGRAM_MAX 4096      /* 512, but whoever sends more has sent it */
#define DATAGRAMS_PER_EVENT 64 /* then others have their turn */
#define QUESTIONS_PER_PORT 8   /* whoever keeps one question open does not keep its port for those to come */
#define PORTS_MAX 16           /* worker.c sets these descriptors aside, for RESOLVCONF_SERVERS_MAX servers */

enum asked_how {
	BY_UDP,
	TO_BE_SENT, /* over TCP */
	BY_TCP,
};

/* A UDP socket, and with it a source port that the kernel chose at random. Open while a question waits at it. */
struct port {
	TAILQ_ENTRY(port) entry;
	int fd;
	unsigned asked;   /* ever */
	unsigned waiting; /* questions; 0: it is closed */
};

struct name_server {
	struct resolvconf_server where;
	int epoll; /* of others: its sockets are in it */
	uint32_t tag;
	TAILQ_HEAD(ports, port) ports; /* the newest last */
	unsigned n_ports;
	int tcp; /* open while something is asked over it; -1: not */
	uint32_t n_asked;
	TAILQ_HEAD(all_asked, asked) all_asked; /* in the order of due_ms */
	int64_t heard_ms;

	/* the TCP connection */
	bool tcp_answered;
	const struct asked *cut; /* sent in part; NULL: none is */
	size_t out;              /* bytes of it that are sent, with its length in front */
	size_t in;               /* bytes of length and message received */
	uint8_t in_length[2];
	uint8_t *in_message; /* NULL: its length is not known yet */
};

struct asked {
	TAILQ_ENTRY(asked) entry;
	name_server_answered *answered; /* NULL: nobody wants to know */
	void *arg;
	int64_t due_ms; /* nothing will come any more */
	enum asked_how how;
	struct port *port; /* BY_UDP; NULL where it was given up */
	uint16_t len;
	uint8_t frame[]; /* the query's length in two bytes, as TCP has it, and the query */
};

static const uint8_t *query_of(const struct asked *asked)
{
	return asked->frame + 2;
}

/* -- the server -- */

struct name_server *name_server_new(const struct resolvconf_server *where, int epoll, uint32_t tag)
{
	struct name_server *server = malloc(sizeof(*server));
	if (!server)
		return NULL;
	*server = (struct name_server){ .where = *where, .epoll = epoll, .tag = tag, .tcp = -1, .heard_ms = -1 };
	TAILQ_INIT(&server->all_asked);
	TAILQ_INIT(&server->ports);
	return server;
}

static void leave_port(struct name_server *server, struct port *port)
{
	if (--port->waiting > 0)
		return;
	TAILQ_REMOVE(&server->ports, port, entry);
	server->n_ports--;
	close(port->fd); /* which takes it out of the epoll */
	free(port);
}

static void leave_udp(struct name_server *server, struct asked *asked)
{
	struct port *port = asked->port;
	asked->port = NULL;
	if (port)
		leave_port(server, port);
}

static void close_tcp(struct name_server *server)
{
	if (server->tcp >= 0)
		close(server->tcp);
	server->tcp = -1;
	free(server->in_message);
	server->in_message = NULL;
	server->in = server->out = 0;
	server->cut = NULL;
	server->tcp_answered = false;
}

static void drop(struct name_server *server, struct asked *asked)
{
	TAILQ_REMOVE(&server->all_asked, asked, entry);
	server->n_asked--;
	leave_udp(server, asked);
	free(asked);
}

void name_server_free(struct name_server *server)
{
	if (!server)
		return;
	while (!TAILQ_EMPTY(&server->all_asked))
		drop(server, TAILQ_FIRST(&server->all_asked));
	close_tcp(server);
	free(server);
}

int64_t name_server_due_ms(const struct name_server *server)
{
	const struct asked *first = TAILQ_FIRST(&server->all_asked);
	return first ? first->due_ms : INT64_MAX;
}

int64_t name_server_heard_ms(const struct name_server *server)
{
	return server->heard_ms;
}

static void tell(struct name_server *server, struct asked *asked, const uint8_t *bytes, size_t len, int64_t now_ms)
{
	if (asked->answered)
		asked->answered(asked->arg, bytes, len, 0, now_ms);
	drop(server, asked);
}

/* error 0: nothing that was of this machine's making. */
static void tell_failure(struct name_server *server, struct asked *asked, int error, int64_t now_ms)
{
	if (asked->answered)
		asked->answered(asked->arg, NULL, 0, error, now_ms);
	drop(server, asked);
}

static void close_unused(struct name_server *server)
{
	const struct asked *asked;
	TAILQ_FOREACH(asked, &server->all_asked, entry)
	if (asked->how != BY_UDP)
		return;
	close_tcp(server);
}

/* -- sockets -- */

/* The interface of a link-local address: its name, or its number. 0: there is none. */
static uint32_t interface_index(int fd, const char *scope)
{
	char *end;
	unsigned long n = strtoul(scope, &end, 10);
	if (scope[0] >= '0' && scope[0] <= '9' && !*end)
		return n <= INT32_MAX ? (uint32_t) n : 0;
	struct ifreq request = { 0 };
	static_assert(
		sizeof(((struct resolvconf_server *) 0)->scope) <= sizeof(request.ifr_name), "a name of netdevice(7)");
	memcpy(request.ifr_name, scope, strlen(scope));
	return ioctl(fd, SIOCGIFINDEX, &request) == 0 && request.ifr_ifindex > 0 ? (uint32_t) request.ifr_ifindex : 0;
}

static bool call_connect(int fd, const struct resolvconf_server *where)
{
	struct sockaddr_storage to;
	socklen_t len = address_to_sockaddr(&where->address, PORT, &to);
	if (where->scope[0])
		((struct sockaddr_in6 *) &to)->sin6_scope_id = interface_index(fd, where->scope);
	return connect(fd, (const struct sockaddr *) &to, len) == 0 || errno == EINPROGRESS;
}

static bool watch(const struct name_server *server, int operation, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t) server->tag << 32 | (uint32_t) fd };
	return epoll_ctl(server->epoll, operation, fd, &event) == 0;
}

static int open_socket(const struct name_server *server, int type, uint32_t events)
{
	_cleanup_close_ int fd = socket(server->where.address.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd < 0 || (type == SOCK_STREAM && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) ||
		!call_connect(fd, &server->where) || !watch(server, EPOLL_CTL_ADD, fd, events))
		return -1;
	return TAKE_FD(fd);
}

/* -- asking -- */

/* A queue that is full loses datagrams as the network does: it is asked again when no answer comes. */
static bool send_once(int fd, const uint8_t *query, size_t len)
{
	return send(fd, query, len, 0) >= 0 || errno == EAGAIN || errno == ENOBUFS;
}

static struct port *open_port(struct name_server *server)
{
	struct port *port = malloc(sizeof(*port));
	int fd = port ? open_socket(server, SOCK_DGRAM, EPOLLIN) : -1;
	if (fd < 0) {
		free(port);
		return NULL;
	}
	*port = (struct port){ .fd = fd };
	TAILQ_INSERT_TAIL(&server->ports, port, entry);
	server->n_ports++;
	return port;
}

/* Those who wait at the oldest port have waited longest: they hear at the next turn that nothing will come. */
static void give_up_oldest(struct name_server *server, int64_t now_ms)
{
	struct port *port = TAILQ_FIRST(&server->ports);
	struct asked *asked = TAILQ_FIRST(&server->all_asked);
	for (unsigned left = port->waiting; asked && left > 0;) {
		struct asked *next = TAILQ_NEXT(asked, entry);
		if (asked->port == port) {
			left--;
			TAILQ_REMOVE(&server->all_asked, asked, entry);
			TAILQ_INSERT_HEAD(&server->all_asked, asked, entry);
			asked->due_ms = now_ms;
			leave_udp(server, asked);
		}
		asked = next;
	}
}

static struct port *port_for_next(struct name_server *server, int64_t now_ms)
{
	struct port *newest = TAILQ_LAST(&server->ports, ports);
	if (newest && newest->asked < QUESTIONS_PER_PORT)
		return newest;
	if (server->n_ports >= PORTS_MAX)
		give_up_oldest(server, now_ms);
	return open_port(server);
}

static bool send_datagram(struct name_server *server, struct asked *asked, int64_t now_ms)
{
	struct port *port = port_for_next(server, now_ms);
	if (!port)
		return false;
	port->asked++;
	port->waiting++;
	asked->port = port;
	/* the first error may be of an earlier datagram (udp(7)), and is gone then */
	if (send_once(port->fd, query_of(asked), asked->len) || send_once(port->fd, query_of(asked), asked->len))
		return true;
	leave_udp(server, asked);
	return false;
}

struct asked *name_server_ask(struct name_server *server, const uint8_t *query, size_t len, int64_t now_ms,
	name_server_answered *answered, void *arg)
{
	struct asked *asked = server->n_asked < NAME_SERVER_ASKED_MAX && len <= DNS_QUERY_MAX
				      ? malloc(sizeof(*asked) + 2 + len)
				      : NULL;
	if (!asked) {
		errno = ENOMEM;
		return NULL;
	}
	*asked = (struct asked){ .answered = answered,
		.arg = arg,
		.due_ms = now_ms + NAME_SERVER_WAIT_MS,
		.how = BY_UDP,
		.len = (uint16_t) len };
	asked->frame[0] = (uint8_t) (len >> 8);
	asked->frame[1] = (uint8_t) len;
	memcpy(asked->frame + 2, query, len);
	if (!send_datagram(server, asked, now_ms)) {
		free(asked);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&server->all_asked, asked, entry);
	server->n_asked++;
	return asked;
}

void name_server_forget(struct asked *asked)
{
	asked->answered = NULL;
}

/* -- answers -- */

/* Those that are asked at this port, or where it is NULL over TCP, get nothing. */
static void fail(struct name_server *server, const struct port *port, int error, int64_t now_ms)
{
	struct asked *asked = TAILQ_FIRST(&server->all_asked);
	while (asked) {
		struct asked *next = TAILQ_NEXT(asked, entry);
		if (port ? asked->port == port : asked->how != BY_UDP)
			tell_failure(server, asked, error, now_ms);
		asked = next;
	}
}

static bool open_tcp(struct name_server *server)
{
	server->tcp = open_socket(server, SOCK_STREAM, EPOLLIN | EPOLLOUT);
	return server->tcp >= 0;
}

static void ask_by_tcp(struct name_server *server, struct asked *asked, int64_t now_ms)
{
	asked->how = TO_BE_SENT;
	leave_udp(server, asked);
	if (server->tcp >= 0)
		(void) watch(server, EPOLL_CTL_MOD, server->tcp, EPOLLIN | EPOLLOUT);
	else if (!open_tcp(server))
		tell_failure(server, asked, errno, now_ms);
}

/* port NULL: over TCP. */
static void take_message(
	struct name_server *server, const uint8_t *bytes, size_t len, const struct port *port, int64_t now_ms)
{
	enum asked_how how = port ? BY_UDP : BY_TCP;
	struct asked *asked;
	TAILQ_FOREACH(asked, &server->all_asked, entry)
	if (asked->how == how && asked->port == port && dns_is_answer(bytes, len, query_of(asked), asked->len))
		break;
	if (!asked)
		return;
	server->heard_ms = now_ms;
	if (how == BY_UDP && dns_is_truncated(bytes)) {
		ask_by_tcp(server, asked, now_ms);
		return;
	}
	if (how == BY_TCP)
		server->tcp_answered = true;
	tell(server, asked, bytes, len, now_ms);
}

static void read_udp(struct name_server *server, struct port *port, int64_t now_ms)
{
	uint8_t bytes[DATAGRAM_MAX];
	port->waiting++; /* it stays until we are through */
	for (int i = 0; i < DATAGRAMS_PER_EVENT && port->waiting > 1; i++) {
		ssize_t n = recv(port->fd, bytes, sizeof(bytes), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			fail(server, port, 0, now_ms); /* ECONNREFUSED: nobody listens there */
		else
			take_message(server, bytes, (size_t) n, port, now_ms);
	}
	leave_port(server, port);
}

/*
 * A server may close when it has answered something (RFC 7766 section 6.2.3): the others are asked again, so each
 * connection answers at least one.
 */
static void lose_tcp(struct name_server *server, int64_t now_ms)
{
	bool was_answered = server->tcp_answered;
	struct asked *asked;
	close_tcp(server);
	TAILQ_FOREACH(asked, &server->all_asked, entry)
	if (asked->how == BY_TCP)
		asked->how = TO_BE_SENT;
	if (!was_answered)
		fail(server, NULL, 0, now_ms);
	else if (!open_tcp(server))
		fail(server, NULL, errno, now_ms);
}

static struct asked *next_to_send(struct name_server *server)
{
	struct asked *asked;
	TAILQ_FOREACH(asked, &server->all_asked, entry)
	if (server->cut ? asked == server->cut : asked->how == TO_BE_SENT)
		break;
	return asked;
}

static void write_tcp(struct name_server *server, int64_t now_ms)
{
	for (struct asked *asked; (asked = next_to_send(server));) {
		size_t left = 2u + asked->len - server->out;
		ssize_t n = send(server->tcp, asked->frame + server->out, left, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			lose_tcp(server, now_ms);
			return;
		}
		bool is_whole = (size_t) n == left;
		server->cut = is_whole ? NULL : asked;
		server->out = is_whole ? 0 : server->out + (size_t) n;
		if (is_whole)
			asked->how = BY_TCP;
	}
	(void) watch(server, EPOLL_CTL_MOD, server->tcp, EPOLLIN);
}

/* Where the next bytes go, and how many. */
static uint8_t *room(struct name_server *server, size_t *ret)
{
	if (server->in < 2) {
		*ret = 2 - server->in;
		return server->in_length + server->in;
	}
	size_t len = (size_t) (server->in_length[0] << 8 | server->in_length[1]);
	if (!server->in_message)
		server->in_message = malloc(len ? len : 1);
	*ret = len - (server->in - 2);
	return server->in_message ? server->in_message + server->in - 2 : NULL;
}

static void take_from_tcp(struct name_server *server, int64_t now_ms)
{
	uint8_t *message = server->in_message;
	size_t len = server->in - 2;
	server->in_message = NULL;
	server->in = 0;
	take_message(server, message, len, NULL, now_ms);
	free(message);
}

/* At most one message, then others have their turn. */
static void read_tcp(struct name_server *server, int64_t now_ms)
{
	for (;;) {
		size_t left;
		uint8_t *to = room(server, &left);
		if (to && left == 0) {
			take_from_tcp(server, now_ms);
			return;
		}
		ssize_t n = to ? recv(server->tcp, to, left, 0) : 0;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			lose_tcp(server, now_ms);
			return;
		}
		server->in += (size_t) n;
	}
}

/* A connection that is silent for so long is of no use to those that came to it later either. */
static void expire(struct name_server *server, int64_t now_ms)
{
	struct asked *first;
	while ((first = TAILQ_FIRST(&server->all_asked)) && first->due_ms <= now_ms) {
		if (first->how == BY_UDP) {
			tell_failure(server, first, 0, now_ms);
		} else {
			close_tcp(server);
			fail(server, NULL, 0, now_ms);
		}
	}
}

static struct port *find_port(const struct name_server *server, int fd)
{
	struct port *port;
	TAILQ_FOREACH(port, &server->ports, entry)
	if (port->fd == fd)
		break;
	return port;
}

/* One of a socket that is closed by now may be taken for one of its successor's, which finds nothing to do. */
void name_server_process(struct name_server *server, const struct epoll_event *event, int64_t now_ms)
{
	int fd = event ? (int) (uint32_t) event->data.u64 : -1;
	struct port *port = event ? find_port(server, fd) : NULL;
	if (!event) {
		expire(server, now_ms);
	} else if (port) {
		read_udp(server, port, now_ms);
	} else if (fd == server->tcp) {
		if (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			write_tcp(server, now_ms);
		if (server->tcp >= 0 && event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			read_tcp(server, now_ms);
	}
	close_unused(server);
}
