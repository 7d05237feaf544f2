/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/netns/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "netns/netns.h"

#define OUTPUT_MAX (1 << 20)
#define CONNECT_TIMEOUT_S 3

static int own_netns(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

int fixture_netns(void)
{
	_cleanup_close_ int own = own_netns();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	int fd = own_netns();
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	return fd;
}

int fixture_netns_of(int sock)
{
	int fd = ioctl(sock, SIOCGSKNS);
	assert_true(fd >= 0);
	return fd;
}

int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);

	fixture->machine = own_netns();
	fixture->host = fixture_netns();
	fixture->container = fixture_netns();
	fixture->internet = -1;
	assert_int_equal(setns(fixture->host, CLONE_NEWNET), 0);
	fixture->config = (struct link_config){ .kind = LINK_VETH, .prefix = 31, .port = FIXTURE_PORT };
	assert_int_equal(inet_pton(AF_INET, "198.18.0.2", &fixture->config.proxy), 1);
	assert_int_equal(inet_pton(AF_INET, "198.18.0.3", &fixture->config.container), 1);
	*state = fixture;
	return 0;
}

int fixture_setup_internet(void **state)
{
	int r = fixture_setup(state);
	struct fixture *fixture = *state;
	char command[256];

	fixture->internet = fixture_netns();
	/* IPv4 alone: what IPv6 says of its own accord would be counted. */
	fixture_sh(fixture->internet, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
	fixture_sh(fixture->host, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1 "
				  "net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.all.rp_filter=0");
	(void) snprintf(command, sizeof(command), "ip link add out0 type veth peer name in0 netns /proc/%d/fd/%d",
		(int) getpid(), fixture->internet);
	fixture_sh(fixture->host, command);
	fixture_sh(fixture->host, "ip link set lo up; ip addr add " FIXTURE_HOST_INSIDE "/32 dev lo; "
				  "ip addr add " FIXTURE_HOST_OUTSIDE "/24 dev out0; ip link set out0 up; "
				  "ip route add default via " FIXTURE_INTERNET);
	fixture_sh(fixture->internet, "ip link set lo up; ip addr add " FIXTURE_INTERNET "/24 dev in0; "
				      "ip link set in0 up; ip route add default via " FIXTURE_HOST_OUTSIDE);
	return r;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(setns(fixture->machine, CLONE_NEWNET), 0);
	cleanup_close(&fixture->machine);
	cleanup_close(&fixture->host);
	cleanup_close(&fixture->container);
	cleanup_close(&fixture->internet);
	free(fixture);
	return 0;
}

char *fixture_output(int netns, const char *command)
{
	int pipefd[2];
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* The program's own limits and preloads (sanitizers) are nothing to a shell. */
		if (setns(netns, CLONE_NEWNET) == 0 && dup2(pipefd[1], 1) == 1)
			execl("/bin/sh", "sh", "-ec", command, (char *) NULL);
		_exit(127);
	}
	close(pipefd[1]);

	char *text = NULL;
	size_t len;
	struct error err;
	int r = io_read_all(pipefd[0], OUTPUT_MAX, &text, &len, &err);
	close(pipefd[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(r, 0);
	if (status != 0)
		fail_msg("%s: wait status %#x", command, (unsigned) status);
	return text;
}

void fixture_sh(int netns, const char *command)
{
	free(fixture_output(netns, command));
}

char *fixture_snapshot(int netns)
{
	return fixture_output(netns,
		"ip -d link; ip addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule; "
		"ip neigh; ip netns list-id; sysctl -a --pattern 'net.ipv[46].(conf|ip_forward)' 2>/dev/null; ss "
		"-Hltn");
}

struct setting_args {
	const char *name;
	int value;
};

static int setting_here(void *arg, struct error *err)
{
	struct setting_args *args = arg;
	char path[256];

	(void) err;
	(void) snprintf(path, sizeof(path), "/proc/sys/net/%s", args->name);
	FILE *file = fopen(path, "re");
	int n = file ? fscanf(file, "%d", &args->value) : 0;
	if (file)
		fclose(file);
	return n == 1 ? 0 : -ENOENT;
}

int fixture_setting(int netns, const char *name)
{
	struct setting_args args = { .name = name };
	if (netns_call(netns, setting_here, &args, NULL) < 0)
		fail_msg("no setting %s", name);
	return args.value;
}

struct link fixture_link(const struct fixture *fixture, enum link_kind kind)
{
	struct link_config config = fixture->config;
	struct link link;
	struct error err = { .code = 0 };

	config.kind = kind;
	if (link_check(fixture->container, NULL, &err) < 0)
		fail_msg("link_check: %s", err.msg);
	if (link_make(fixture->container, &config, &link, &err) < 0)
		fail_msg("link_make: %s", err.msg);
	return link;
}

void fixture_connect(const struct fixture *fixture, const struct link *link, int *ret_client, int *ret_server)
{
	uint16_t port;
	struct error err;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(link->port), .sin_addr = link->proxy };
	struct sockaddr_in from = { .sin_family = AF_UNSPEC };
	socklen_t len = sizeof(from);

	assert_int_equal(link_probe_socket(fixture->container, link, ret_client, &port, &err), 0);
	assert_int_equal(connect(*ret_client, (const struct sockaddr *) &to, sizeof(to)), 0);
	*ret_server = accept4(link->listener, (struct sockaddr *) &from, &len, SOCK_CLOEXEC);
	assert_true(*ret_server >= 0);
	assert_int_equal(ntohs(from.sin_port), port);
	assert_int_equal(from.sin_addr.s_addr, link->container.s_addr);
}

int fixture_try(int netns, int family, const char *address, uint16_t port, int *ret_ms)
{
	_cleanup_close_ int fd = -1;
	struct error err;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = 2 };
	const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };

	assert_int_equal(netns_socket(netns, family, SOCK_STREAM, 0, &fd, &err), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(
		inet_pton(family, address, family == AF_INET ? (void *) &sin.sin_addr : (void *) &sin6.sin6_addr), 1);
	int64_t start = fixture_now_ms();
	int r = family == AF_INET ? connect(fd, (const struct sockaddr *) &sin, sizeof(sin))
				  : connect(fd, (const struct sockaddr *) &sin6, sizeof(sin6));
	int errnum = r < 0 ? errno : 0;
	*ret_ms = (int) (fixture_now_ms() - start);
	return errnum;
}

bool fixture_has_link(int netns, const char *name)
{
	char command[64];
	(void) snprintf(command, sizeof(command), "ip -o link show dev %s 2>/dev/null || true", name);
	char *text = fixture_output(netns, command);
	bool there = text[0] != '\0';
	free(text);
	return there;
}

int64_t fixture_now_ms(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
