/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `oci-egress canary`: the program of the container that a doctor starts. Tries from inside what must work and what
 * must not, says a line for each, "WHAT ok|not WHY", and "end"; the first one then waits for the end of its stdin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "hook/command.h"
#include "oci/bouquet.h"

#define ANSWER_TIMEOUT_MS 5000
#define AT_ONCE_MS 1000          /* what is closed fails within that */
#define ELSEWHERE "198.51.100.1" /* TEST-NET-2, RFC 5737: nobody's, so that a hole does no harm */
#define ELSEWHERE6 "2001:db8::1" /* RFC 3849 */
#define PORT_ELSEWHERE 443
#define NOT_LISTED "not-listed.invalid:443"
#define TOKEN_SIZE 33

static const struct option_row options[] = { { 0 } };

static void say(const char *what, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(const char *what, bool ok, const char *fmt, ...)
{
	char why[512];
	va_list ap;
	va_start(ap, fmt);
	(void) vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	(void) printf("%s %s %s\n", what, ok ? "ok" : "not", why);
}

/* -- the variables */

/* The proxy that https_proxy names, "http://ADDRESS:PORT". */
static bool find_proxy(struct sockaddr_in *ret)
{
	char address[INET_ADDRSTRLEN];
	uint16_t port;
	const char *url = getenv("https_proxy");
	*ret = (struct sockaddr_in){ .sin_family = AF_INET };
	if (!url || sscanf(url, "http://%15[0-9.]:%hu", address, &port) != 2 ||
		inet_pton(AF_INET, address, &ret->sin_addr) != 1)
		return false;
	ret->sin_port = htons(port);
	return true;
}

static unsigned count(const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;
	unsigned n = 0;
	for (char **v = environ; *v; v++)
		n += strncmp(*v, variable, len) == 0;
	return n;
}

/* Each once, and with our value; what goes past the proxy depends on the policy. */
static void try_bouquet(void)
{
	struct sockaddr_in proxy;
	struct bouquet bouquet;
	if (!find_proxy(&proxy)) {
		say("bouquet", false, "https_proxy is not set, or is not ours");
		return;
	}
	bouquet_make(NULL, proxy.sin_addr, ntohs(proxy.sin_port), &bouquet);
	for (size_t i = 0; i < bouquet.n; i++) {
		const char *variable = bouquet_text(&bouquet, i);
		char name[BOUQUET_NAME_MAX + 1];
		(void) snprintf(name, sizeof(name), "%.*s", (int) strcspn(variable, "="), variable);
		const char *value = getenv(name);
		bool any_value = strcasecmp(name, "no_proxy") == 0;
		if (count(variable) != 1 || !value || (!any_value && strcmp(value, strchr(variable, '=') + 1) != 0)) {
			say("bouquet", false, "%s is there %u times%s%s", name, count(variable), value ? ", as " : "",
				value ? value : "");
			return;
		}
	}
	say("bouquet", true, "https_proxy=%s and %zu more", getenv("https_proxy"), bouquet.n - 1);
}

/* -- the filter */

static void try_filter(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} closed[] = {
		{ "UDP", AF_INET, SOCK_DGRAM, 0 },
		{ "UDP over IPv6", AF_INET6, SOCK_DGRAM, 0 },
		{ "raw", AF_INET, SOCK_RAW, IPPROTO_ICMP },
		{ "packet", AF_PACKET, SOCK_RAW, 0 },
		{ "MPTCP", AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */ },
		{ "vsock", AF_VSOCK, SOCK_STREAM, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(closed); i++) {
		_cleanup_close_ int fd = socket(closed[i].family, closed[i].type | SOCK_CLOEXEC, closed[i].protocol);
		if (fd >= 0 || errno != EPERM) {
			say("filter", false, "%s sockets: %s", closed[i].name,
				fd >= 0 ? "can be made" : strerror(errno));
			return;
		}
	}
	_cleanup_close_ int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (tcp < 0)
		say("filter", false, "TCP sockets: %s", strerror(errno));
	else
		say("filter", true, "TCP sockets and no others");
}

/* -- the proxy */

static int connect_proxy(struct error *err)
{
	struct sockaddr_in proxy;
	if (!find_proxy(&proxy))
		return error_say(err, ENOENT, "https_proxy names no proxy");
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_MS / 1000 };
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return error_set(err, errno, "socket");
	if (connect(fd, (const struct sockaddr *) &proxy, sizeof(proxy)) < 0)
		return error_set(err, errno, "connect to the proxy, %s", getenv("https_proxy"));
	return TAKE_FD(fd);
}

/* The response's status, with what came of it in text, read until the head's end; *ret_body is what follows. */
static int ask_proxy(int fd, const char *authority, char *text, size_t size, char **ret_body, struct error *err)
{
	char request[256];
	int n = snprintf(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
	int r = io_write_all(fd, request, (size_t) n, err);
	if (r < 0)
		return r;
	size_t len = 0;
	for (char *end = NULL; !end; end = strstr(text, "\r\n\r\n")) {
		ssize_t got = len < size - 1 ? recv(fd, text + len, size - 1 - len, 0) : 0;
		if (got <= 0)
			return error_set(err, got < 0 ? errno : EIO, "the proxy's answer");
		len += (size_t) got;
		text[len] = '\0';
		*ret_body = strstr(text, "\r\n\r\n");
	}
	*ret_body += 4;
	int status;
	return sscanf(text, "HTTP/1.1 %d", &status) == 1 ? status : error_say(err, EBADMSG, "the proxy speaks no HTTP");
}

/* What the doctor's listener says, which it made up for this occasion. */
static int read_token(int fd, const char *body, char token[TOKEN_SIZE], struct error *err)
{
	size_t len = strnlen(body, TOKEN_SIZE - 1);
	memcpy(token, body, len);
	while (len < TOKEN_SIZE - 1) {
		ssize_t n = recv(fd, token + len, TOKEN_SIZE - 1 - len, 0);
		if (n <= 0)
			return error_set(err, n < 0 ? errno : EIO, "through the tunnel");
		len += (size_t) n;
	}
	token[len] = '\0';
	return 0;
}

static void try_allowed(const char *listed)
{
	char text[4096] = "", token[TOKEN_SIZE], *body = text;
	struct error err;
	_cleanup_close_ int fd = connect_proxy(&err);
	int r = fd < 0 ? fd : ask_proxy(fd, listed, text, sizeof(text), &body, &err);
	if (r >= 0 && r != 200)
		r = error_say(&err, EPERM, "%s: status %d", listed, r);
	if (r >= 0)
		r = read_token(fd, body, token, &err);
	if (r < 0)
		say("allowed", false, "%s", err.msg);
	else
		say("allowed", true, "%s", token);
}

static void try_denied(void)
{
	char text[4096] = "", *body = text;
	struct error err;
	_cleanup_close_ int fd = connect_proxy(&err);
	int r = fd < 0 ? fd : ask_proxy(fd, NOT_LISTED, text, sizeof(text), &body, &err);
	if (r < 0)
		say("denied", false, "%s", err.msg);
	else if (r != 403 || !strstr(text, "not-listed"))
		say("denied", false, "%s: status %d, expected 403 and not-listed", NOT_LISTED, r);
	else
		say("denied", true, "%s: 403, not-listed", NOT_LISTED);
}

/* -- past the proxy */

static void try_connect(const char *what, const struct sockaddr *to, socklen_t size, const char *name)
{
	_cleanup_close_ int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int64_t start = clock_now_ms();
	int problem = 0;
	socklen_t len = sizeof(problem);
	if (fd < 0 || connect(fd, to, size) < 0)
		problem = errno;
	if (problem == EINPROGRESS) {
		struct pollfd poller = { .fd = fd, .events = POLLOUT };
		if (poll(&poller, 1, AT_ONCE_MS) > 0)
			(void) getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len);
	}
	if (problem == 0)
		say(what, false, "%s can be reached past the proxy", name);
	else if (problem == EINPROGRESS)
		say(what, false, "%s is not closed: packets get lost on their way", name);
	else
		say(what, true, "%s: %s, after %lld ms", name, strerror(problem), (long long) (clock_now_ms() - start));
}

static void try_tcp(const char *what, const char *address, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	(void) inet_pton(AF_INET, address, &to.sin_addr);
	try_connect(what, (const struct sockaddr *) &to, sizeof(to), address);
}

static void try_tcp6(void)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(PORT_ELSEWHERE) };
	(void) inet_pton(AF_INET6, ELSEWHERE6, &to.sin6_addr);
	try_connect("tcp6", (const struct sockaddr *) &to, sizeof(to), ELSEWHERE6);
}

static void try_udp(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT_ELSEWHERE) };
	(void) inet_pton(AF_INET, ELSEWHERE, &to.sin_addr);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, "", 1, 0, (const struct sockaddr *) &to, sizeof(to)) >= 0)
		say("udp", false, "a datagram to %s is sent past the proxy", ELSEWHERE);
	else
		say("udp", true, "%s: %s", ELSEWHERE, strerror(errno));
}

/* The doctor's listener on the host's own loopback: what is not the host's network namespace has none there. */
static void try_host(const char *listed)
{
	const char *colon = strrchr(listed, ':');
	try_tcp("host", "127.0.0.1", (uint16_t) (colon ? strtoul(colon + 1, NULL, 10) : 0));
}

static void wait_for_end(void)
{
	char rest[64];
	(void) fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
}

static int run_canary(int argc, char **argv)
{
	bool first = argc == 3 && strcmp(argv[1], "first") == 0;
	if (!first && (argc != 3 || strcmp(argv[1], "exec") != 0)) {
		(void) fprintf(stderr, "oci-egress canary: started by oci-egress doctor, not by hand\n");
		return 2;
	}
	try_bouquet();
	try_filter();
	if (first) {
		try_allowed(argv[2]);
		try_denied();
	}
	try_tcp("tcp", ELSEWHERE, PORT_ELSEWHERE);
	try_tcp6();
	try_udp();
	try_host(argv[2]);
	(void) puts("end");
	if (first)
		wait_for_end();
	return 0;
}

const struct command command_canary = {
	.name = "canary",
	.operands = "first|exec HOST:PORT",
	.text = NULL,
	.run = run_canary,
	.options = options,
};
