/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "proxy/hostsfile.h"
#include "proxy/resolvconf.h"

#define TRY_TIMEOUT_MS 2000 /* of the first round of servers; c-ares doubles it each round */
#define TRIES 2

struct resolver {
	ares_channel channel;
	int epoll; /* of c-ares' sockets */
	struct hostsfile *hosts;
	unsigned n_questions;
	TAILQ_HEAD(questions, question) questions;
};

/* One name in flight. Lives until both queries have ended, whoever still waits for it. */
struct question {
	TAILQ_ENTRY(question) entry;
	struct resolver *resolver;
	char name[HOST_NAME_MAX_LEN + 1];
	TAILQ_HEAD(lookups, lookup) lookups;
	int pending; /* queries */
	int status;  /* the most telling failure of a query */
	size_t n;
	struct address addresses[RESOLVER_ADDRESSES_MAX];
};

/* One who waits. */
struct lookup {
	TAILQ_ENTRY(lookup) entry;
	struct question *question;
	resolver_done *done;
	void *arg;
};

/* -- sockets -- */

/* c-ares would make them non-blocking by F_SETFL, which also takes O_APPEND off a log: the sandbox has it not. */
static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	(void) arg;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	int on = 1;
	if (fd >= 0 && type == SOCK_STREAM)
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int close_socket(ares_socket_t fd, void *arg)
{
	(void) arg;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len, void *arg)
{
	(void) arg;
	return connect(fd, address, len);
}

static ares_ssize_t receive(
	ares_socket_t fd, void *bytes, size_t size, int flags, struct sockaddr *from, ares_socklen_t *len, void *arg)
{
	(void) arg;
	return recvfrom(fd, bytes, size, flags, from, len);
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *vector, int n, void *arg)
{
	(void) arg;
	return writev(fd, vector, n);
}

static const struct ares_socket_functions socket_functions = {
	.asocket = open_socket,
	.aclose = close_socket,
	.aconnect = connect_socket,
	.arecvfrom = receive,
	.asendv = send_vector,
};

static void on_socket_state(void *arg, ares_socket_t sock, int readable, int writable)
{
	const struct resolver *resolver = arg;
	struct epoll_event event = {
		.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
		.data.fd = sock,
	};
	if (!readable && !writable)
		epoll_ctl(resolver->epoll, EPOLL_CTL_DEL, sock, NULL);
	else if (epoll_ctl(resolver->epoll, EPOLL_CTL_MOD, sock, &event) < 0 && errno == ENOENT)
		epoll_ctl(resolver->epoll, EPOLL_CTL_ADD, sock, &event); /* if that fails the query times out */
}

int resolver_new(struct resolver **ret, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		return error_set(err, ENOMEM, "resolver");
	resolver->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (resolver->epoll < 0) {
		int r = error_set(err, errno, "epoll_create1");
		free(resolver);
		return r;
	}

	/* every option that is not given c-ares would take from a file or a variable */
	char lookups[] = "b";
	struct in_addr nobody = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = TRY_TIMEOUT_MS,
		.tries = TRIES,
		.ndots = 1,
		.servers = &nobody,
		.nservers = 1,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = resolver,
	};
	int status = ares_init_options(&resolver->channel, &options,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
			ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SORTLIST |
			ARES_OPT_NOROTATE);
	if (status != ARES_SUCCESS) {
		close(resolver->epoll);
		free(resolver);
		return error_say(err, ENOMEM, "c-ares: %s", ares_strerror(status));
	}
	ares_set_socket_functions(resolver->channel, &socket_functions, NULL);
	TAILQ_INIT(&resolver->questions);
	*ret = resolver;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	ares_destroy(resolver->channel);
	close(resolver->epoll);
	hostsfile_free(resolver->hosts);
	free(resolver);
}

int resolver_configure(struct resolver *resolver, const char *resolvconf, size_t resolvconf_len, const char *hosts,
	size_t hosts_len, struct error *err)
{
	struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX];
	size_t n = resolvconf_servers(resolvconf ? resolvconf : "", resolvconf_len, servers);

	char buf[RESOLVCONF_SERVERS_MAX * (ADDRESS_TEXT_MAX + sizeof(servers[0].scope) + 8)];
	struct text csv = text_init(buf, sizeof(buf));
	for (size_t i = 0; i < n; i++) {
		bool scoped = servers[i].scope[0] != '\0';
		char address[ADDRESS_TEXT_MAX];
		address_format(&servers[i].address, address);
		text_add(&csv, "%s%s%s%s", i ? "," : "", address, scoped ? "%" : "", servers[i].scope);
	}
	struct hostsfile *hosts_new = NULL;
	int r = hosts ? hostsfile_new(hosts, hosts_len, &hosts_new, err) : 0;
	if (r < 0)
		return r;
	ares_cancel(resolver->channel); /* servers cannot be changed while one is asked */
	int status = ares_set_servers_csv(resolver->channel, buf);
	if (status != ARES_SUCCESS) {
		hostsfile_free(hosts_new);
		return error_say(err, EINVAL, "name servers %s: %s", buf, ares_strerror(status));
	}
	hostsfile_free(resolver->hosts);
	resolver->hosts = hosts_new;
	return 0;
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->epoll;
}

int resolver_timeout_ms(const struct resolver *resolver)
{
	struct timeval tv;
	const struct timeval *left = ares_timeout(resolver->channel, NULL, &tv);
	/* rounded up, else the loop spins through the last millisecond */
	return left ? (int) (left->tv_sec * 1000 + (left->tv_usec + 999) / 1000) : -1;
}

void resolver_process(struct resolver *resolver)
{
	struct epoll_event events[16];
	int n = epoll_wait(resolver->epoll, events, ARRAY_SIZE(events), 0);
	for (int i = 0; i < n; i++) {
		/* an event of a socket that c-ares has closed meanwhile finds nothing to read there: harmless */
		bool readable = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		bool writable = events[i].events & EPOLLOUT;
		ares_process_fd(resolver->channel, readable ? events[i].data.fd : ARES_SOCKET_BAD,
			writable ? events[i].data.fd : ARES_SOCKET_BAD);
	}
	if (n <= 0) /* what is overdue */
		ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void add_address(struct question *question, sa_family_t family, const void *bytes)
{
	struct address address = { .family = family };
	memcpy(address.bytes, bytes, family == AF_INET ? 4 : 16);
	for (size_t i = 0; i < question->n; i++)
		if (address_equal(&question->addresses[i], &address))
			return;
	if (question->n < RESOLVER_ADDRESSES_MAX)
		question->addresses[question->n++] = address;
}

static enum reason failure_reason(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return REASON_RESOLVE_FAILED;
	case ARES_ETIMEOUT:
		return REASON_RESOLVE_TIMEOUT;
	case ARES_ENOMEM:
		return REASON_LIMIT_RESOURCES;
	default:
		return REASON_RESOLVE_ERROR;
	}
}

static void note_failure(struct question *question, int status)
{
	/* that a name has no record of one family says less than that the servers fail for the other */
	if (question->status == ARES_SUCCESS || failure_reason(question->status) == REASON_RESOLVE_FAILED)
		question->status = status;
}

/* Nobody who is told may come to wait here again: the question is off the list, and gone when all have been told. */
static void end_query(struct question *question)
{
	if (--question->pending > 0)
		return;
	question->resolver->n_questions--;
	TAILQ_REMOVE(&question->resolver->questions, question, entry);
	enum reason reason = question->n > 0 ? REASON_NONE : failure_reason(question->status);
	for (struct lookup *lookup; (lookup = TAILQ_FIRST(&question->lookups));) {
		resolver_done *done = lookup->done;
		void *arg = lookup->arg;
		TAILQ_REMOVE(&question->lookups, lookup, entry);
		free(lookup);
		done(arg, reason, question->n > 0 ? question->addresses : NULL, question->n);
	}
	free(question);
}

/* Half of the room for each family, so that neither crowds the other out. */
#define FAMILY_MAX (RESOLVER_ADDRESSES_MAX / 2)

static void on_a(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
	struct question *question = arg;
	struct ares_addrttl records[FAMILY_MAX];
	int n = FAMILY_MAX;
	(void) timeouts;
	if (status == ARES_SUCCESS)
		status = ares_parse_a_reply(answer, len, NULL, records, &n);
	if (status != ARES_SUCCESS)
		note_failure(question, status);
	else
		for (int i = 0; i < n; i++)
			add_address(question, AF_INET, &records[i].ipaddr);
	end_query(question);
}

static void on_aaaa(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
	struct question *question = arg;
	struct ares_addr6ttl records[FAMILY_MAX];
	int n = FAMILY_MAX;
	(void) timeouts;
	if (status == ARES_SUCCESS)
		status = ares_parse_aaaa_reply(answer, len, NULL, records, &n);
	if (status != ARES_SUCCESS)
		note_failure(question, status);
	else
		for (int i = 0; i < n; i++)
			add_address(question, AF_INET6, &records[i].ip6addr);
	end_query(question);
}

static bool find_in_hosts(struct resolver *resolver, const struct host *host, resolver_done *done, void *arg)
{
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	size_t n = 0;
	if (resolver->hosts)
		n = hostsfile_find(resolver->hosts, host, addresses, ARRAY_SIZE(addresses));
	if (n > 0)
		done(arg, REASON_NONE, addresses, n);
	return n > 0;
}

static struct question *find_question(struct resolver *resolver, const struct host *host)
{
	struct question *question;
	TAILQ_FOREACH(question, &resolver->questions, entry)
	if (strcmp(question->name, host->name) == 0)
		return question;
	return NULL;
}

/* In flight when ask() has been called. */
static struct question *add_question(struct resolver *resolver, const struct host *host)
{
	struct question *question =
		resolver->n_questions < RESOLVER_QUESTIONS_MAX ? calloc(1, sizeof(*question)) : NULL;
	if (!question)
		return NULL;
	*question = (struct question){ .resolver = resolver, .pending = 3 };
	memcpy(question->name, host->name, sizeof(question->name));
	TAILQ_INIT(&question->lookups);
	TAILQ_INSERT_TAIL(&resolver->questions, question, entry);
	resolver->n_questions++;
	return question;
}

/* The third pending "query" is this function: both others may end before it does. Returns whether they have. */
static bool ask(struct question *question)
{
	ares_channel channel = question->resolver->channel;
	ares_query(channel, question->name, ns_c_in, ns_t_a, on_a, question);
	ares_query(channel, question->name, ns_c_in, ns_t_aaaa, on_aaaa, question);
	bool ended = question->pending == 1;
	end_query(question);
	return ended;
}

void resolver_start(
	struct resolver *resolver, const struct host *host, resolver_done *done, void *arg, struct lookup **ret_lookup)
{
	*ret_lookup = NULL;
	if (find_in_hosts(resolver, host, done, arg))
		return;

	struct question *question = find_question(resolver, host);
	bool is_new = !question;
	struct lookup *lookup = malloc(sizeof(*lookup));
	if (lookup && is_new)
		question = add_question(resolver, host);
	if (!lookup || !question) {
		free(lookup);
		done(arg, REASON_LIMIT_RESOURCES, NULL, 0);
		return;
	}
	*lookup = (struct lookup){ .question = question, .done = done, .arg = arg };
	TAILQ_INSERT_TAIL(&question->lookups, lookup, entry);
	if (!is_new || !ask(question))
		*ret_lookup = lookup;
}

size_t resolver_cancel(struct lookup *lookup, struct address addresses[RESOLVER_ADDRESSES_MAX])
{
	const struct question *question = lookup->question;
	size_t n = question->n;
	memcpy(addresses, question->addresses, n * sizeof(addresses[0]));
	TAILQ_REMOVE(&lookup->question->lookups, lookup, entry);
	free(lookup);
	return n;
}
