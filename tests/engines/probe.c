/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test does inside a container: one static program that needs nothing of the rootfs. Reads one command a line,
 * writes one JSON object a line, and ends at the end of stdin. Every attempt says how it failed and how long it took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 16
#define REPLY_MAX 65536

extern char **environ;

/* The result: "ok" where errnum is 0, else the stage that failed and why. */
static void result(const char *stage, int errnum, double ms)
{
	const char *name = errnum ? strerrorname_np(errnum) : NULL;
	printf("{\"ok\":%s,\"stage\":\"%s\",\"errno\":\"%s\",\"ms\":%.3f}\n", errnum ? "false" : "true", stage,
		name ? name : "", ms);
}

static void json_string(const char *bytes, size_t len)
{
	putchar('"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) bytes[i];
		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

/* "ADDRESS" or "fe80::1%oe0". */
static bool address(const char *text, const char *port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	char copy[128];
	snprintf(copy, sizeof(copy), "%s", text);
	char *zone = strchr(copy, '%');
	if (zone)
		*zone++ = 0;
	memset(ret, 0, sizeof(*ret));
	struct sockaddr_in *in = (struct sockaddr_in *) ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret;
	uint16_t number = htons((uint16_t) atoi(port));
	if (inet_pton(AF_INET, copy, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = number;
		*ret_len = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, copy, &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = number;
	in6->sin6_scope_id = zone ? if_nametoindex(zone) : 0;
	*ret_len = sizeof(*in6);
	return true;
}

/* Connects within timeout_ms; the descriptor, or -1 with *ret_stage and errno. */
static int connect_to(const char *host, const char *port, int timeout_ms, const char *device, const char **ret_stage)
{
	struct sockaddr_storage to;
	socklen_t len;
	*ret_stage = "address";
	errno = EINVAL;
	if (!address(host, port, &to, &len))
		return -1;
	*ret_stage = "socket";
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	*ret_stage = "device";
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t) strlen(device)) < 0)
		goto fail;
	*ret_stage = "connect";
	if (connect(fd, (struct sockaddr *) &to, len) < 0) {
		if (errno != EINPROGRESS)
			goto fail;
		struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
		int error = ETIMEDOUT;
		socklen_t size = sizeof(error);
		if (poll(&poll_fd, 1, timeout_ms) == 1)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		errno = error;
		if (error)
			goto fail;
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
fail:;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* connect HOST PORT [TIMEOUT_MS [DEVICE]] */
static void do_connect(int argc, char **argv)
{
	const char *stage;
	double start = now_ms();
	int fd = connect_to(argv[1], argv[2], argc > 3 ? atoi(argv[3]) : 3000, argc > 4 ? argv[4] : NULL, &stage);
	int saved = fd < 0 ? errno : 0;
	result(stage, saved, now_ms() - start);
	if (fd >= 0)
		close(fd);
}

/* udp HOST PORT [TIMEOUT_MS [SOURCE]]: sends a datagram, and waits for an answer. */
static void do_udp(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t len;
	double start = now_ms();
	if (!address(argv[1], argv[2], &to, &len)) {
		result("address", EINVAL, 0);
		return;
	}
	const char *stage = "socket";
	int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int failed = fd < 0 ? errno : 0;
	if (!failed && argc > 4) {
		struct sockaddr_storage from;
		socklen_t from_len;
		stage = "bind";
		if (!address(argv[4], "0", &from, &from_len) || bind(fd, (struct sockaddr *) &from, from_len) < 0)
			failed = errno;
	}
	if (!failed) {
		stage = "sendto";
		if (sendto(fd, "probe", 5, 0, (struct sockaddr *) &to, len) < 0)
			failed = errno;
	}
	if (!failed) {
		stage = "reply";
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		char reply[64];
		if (poll(&poll_fd, 1, argc > 3 ? atoi(argv[3]) : 100) != 1)
			failed = ETIMEDOUT;
		else if (recv(fd, reply, sizeof(reply), 0) < 0)
			failed = errno;
	}
	result(stage, failed, now_ms() - start);
	if (fd >= 0)
		close(fd);
}

/* socket DOMAIN TYPE PROTOCOL, as numbers */
static void do_socket(int argc, char **argv)
{
	(void) argc;
	double start = now_ms();
	int fd = socket(atoi(argv[1]), atoi(argv[2]), atoi(argv[3]));
	result("socket", fd < 0 ? errno : 0, now_ms() - start);
	if (fd >= 0)
		close(fd);
}

/* syscall NUMBER [ARGUMENT...]: with 64-bit arguments as they are */
static void do_syscall(int argc, char **argv)
{
	long a[6] = { 0 };
	for (int i = 2; i < argc && i < 8; i++)
		a[i - 2] = (long) strtoull(argv[i], NULL, 0);
	double start = now_ms();
	long r = syscall(strtol(argv[1], NULL, 0), a[0], a[1], a[2], a[3], a[4], a[5]);
	result("syscall", r < 0 ? errno : 0, now_ms() - start);
}

/* The proxy of the environment, "http://ADDRESS:PORT". */
static bool proxy_from_environment(char host[64], char port[8])
{
	const char *url = getenv("https_proxy");
	return url && sscanf(url, "http://%63[0-9.]:%7[0-9]", host, port) == 2;
}

static size_t read_some(int fd, char *buf, size_t size, int timeout_ms, const char *until)
{
	size_t n = 0;
	double end = now_ms() + timeout_ms;
	while (n + 1 < size) {
		int left = (int) (end - now_ms());
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		if (left <= 0 || poll(&poll_fd, 1, left) != 1)
			break;
		ssize_t r = read(fd, buf + n, size - 1 - n);
		if (r <= 0)
			break;
		n += (size_t) r;
		buf[n] = 0;
		if (until && strstr(buf, until))
			break;
	}
	buf[n] = 0;
	return n;
}

/* A tunnel to AUTHORITY through the environment's proxy; prints a failure itself. The reply's head is in head. */
static int tunnel(const char *authority, char *head, int timeout_ms, double start)
{
	char host[64], port[8], request[1024];
	const char *stage = "environment";
	errno = EDESTADDRREQ;
	int fd = proxy_from_environment(host, port) ? connect_to(host, port, timeout_ms, NULL, &stage) : -1;
	if (fd < 0) {
		result(stage, errno, now_ms() - start);
		return -1;
	}
	int n = snprintf(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
	if (send(fd, request, (size_t) n, MSG_NOSIGNAL) != n) {
		result("send", errno, now_ms() - start);
		close(fd);
		return -1;
	}
	read_some(fd, head, REPLY_MAX, timeout_ms, "\r\n\r\n");
	return fd;
}

/* fetch AUTHORITY [TIMEOUT_MS]: CONNECT, then a GET through the tunnel */
static void do_fetch(int argc, char **argv)
{
	static char head[REPLY_MAX], body[REPLY_MAX];
	int timeout_ms = argc > 2 ? atoi(argv[2]) : 5000, status = 0;
	double start = now_ms();
	int fd = tunnel(argv[1], head, timeout_ms, start);
	if (fd < 0)
		return;
	double connected = now_ms() - start;
	sscanf(head, "HTTP/1.%*1[01] %d", &status);
	size_t n = 0;
	if (status == 200) {
		static const char get[] = "GET / HTTP/1.0\r\n\r\n";
		if (send(fd, get, sizeof(get) - 1, MSG_NOSIGNAL) > 0)
			n = read_some(fd, body, sizeof(body), timeout_ms, NULL);
	} else if (status) {
		size_t have = strlen(head);
		n = read_some(fd, body, sizeof(body), 200, NULL);
		snprintf(head + have, sizeof(head) - have, "%s", body);
	}
	printf("{\"ok\":%s,\"status\":%d,\"ms\":%.3f,\"head\":", status == 200 && n ? "true" : "false", status,
		connected);
	json_string(head, strlen(head));
	printf(",\"body\":");
	json_string(body, n);
	printf("}\n");
	close(fd);
}

/* hold AUTHORITY N: N tunnels that stay open and unread until this process ends; with FLOOD they are written full */
static void do_hold(int argc, char **argv)
{
	static char head[REPLY_MAX], zeros[REPLY_MAX];
	bool flood = argc > 3;
	int wanted = atoi(argv[2]), open_now = 0;
	double start = now_ms();
	for (int i = 0; i < wanted; i++) {
		int fd = tunnel(argv[1], head, 5000, start);
		if (fd < 0)
			return;
		if (strncmp(head, "HTTP/1.1 200", 12) == 0)
			open_now++;
		fcntl(fd, F_SETFL, O_NONBLOCK);
		while (flood && write(fd, zeros, sizeof(zeros)) > 0)
			;
	}
	printf("{\"ok\":%s,\"open\":%d,\"ms\":%.3f}\n", open_now == wanted ? "true" : "false", open_now,
		now_ms() - start);
}

/* request HEX [TIMEOUT_MS]: raw bytes to the proxy, whatever comes back as text */
static void do_request(int argc, char **argv)
{
	static char bytes[REPLY_MAX], reply[REPLY_MAX];
	char host[64], port[8];
	size_t n = 0;
	for (const char *p = argv[1]; p[0] && p[1] && n < sizeof(bytes); p += 2) {
		unsigned value;
		sscanf(p, "%2x", &value);
		bytes[n++] = (char) value;
	}
	const char *stage = "environment";
	double start = now_ms();
	int fd = proxy_from_environment(host, port) ? connect_to(host, port, 3000, NULL, &stage) : -1;
	if (fd < 0) {
		result(stage, errno, now_ms() - start);
		return;
	}
	send(fd, bytes, n, MSG_NOSIGNAL);
	n = read_some(fd, reply, sizeof(reply), argc > 2 ? atoi(argv[2]) : 2000, "\r\n\r\n");
	printf("{\"ok\":true,\"ms\":%.3f,\"reply\":", now_ms() - start);
	json_string(reply, n);
	printf("}\n");
	close(fd);
}

static uint16_t checksum(const void *bytes, size_t len, uint32_t sum)
{
	const uint8_t *p = bytes;
	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t) (p[0] << 8 | p[1]);
	if (len)
		sum += (uint32_t) (p[0] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~sum);
}

/* An IPv4 packet: "udp", "syn" or "echo" from src to dst:port. Its length. */
static size_t packet_make(uint8_t *buf, const char *kind, const char *src, const char *dst, uint16_t port)
{
	struct iphdr *ip = (struct iphdr *) buf;
	uint8_t *payload = buf + sizeof(*ip);
	size_t len = 0;
	memset(buf, 0, 128);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->saddr = inet_addr(src);
	ip->daddr = inet_addr(dst);
	if (strcmp(kind, "udp") == 0) {
		struct udphdr *udp = (struct udphdr *) payload;
		len = sizeof(*udp) + 5;
		ip->protocol = IPPROTO_UDP;
		udp->source = htons(4444);
		udp->dest = htons(port);
		udp->len = htons((uint16_t) len);
		memcpy(udp + 1, "probe", 5);
	} else if (strcmp(kind, "syn") == 0) {
		struct tcphdr *tcp = (struct tcphdr *) payload;
		len = sizeof(*tcp);
		ip->protocol = IPPROTO_TCP;
		tcp->source = htons(4444);
		tcp->dest = htons(port);
		tcp->doff = 5;
		tcp->syn = 1;
		tcp->window = htons(1024);
		uint32_t pseudo = (ntohl(ip->saddr) >> 16) + (ntohl(ip->saddr) & 0xffff) + (ntohl(ip->daddr) >> 16) +
				  (ntohl(ip->daddr) & 0xffff) + IPPROTO_TCP + (uint32_t) len;
		tcp->check = checksum(tcp, len, pseudo);
	} else {
		struct icmphdr *icmp = (struct icmphdr *) payload;
		len = sizeof(*icmp);
		ip->protocol = IPPROTO_ICMP;
		icmp->type = ICMP_ECHO;
		icmp->checksum = checksum(icmp, len, 0);
	}
	ip->tot_len = htons((uint16_t) (sizeof(*ip) + len));
	ip->check = checksum(ip, sizeof(*ip), 0);
	return sizeof(*ip) + len;
}

/* raw KIND SRC DST PORT [DEVICE]: a packet of our own making, through a raw socket */
static void do_raw(int argc, char **argv)
{
	uint8_t buf[128];
	double start = now_ms();
	size_t len = packet_make(buf, argv[1], argv[2], argv[3], (uint16_t) atoi(argv[4]));
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0) {
		result("socket", errno, now_ms() - start);
		return;
	}
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[3]) };
	const char *stage = "sendto";
	int failed = 0;
	if (argc > 5 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, argv[5], (socklen_t) strlen(argv[5])) < 0)
		failed = errno;
	if (!failed && sendto(fd, buf, len, 0, (struct sockaddr *) &to, sizeof(to)) < 0)
		failed = errno;
	result(stage, failed, now_ms() - start);
	close(fd);
}

/* The hardware address of a neighbour on device, from /proc/net/arp; broadcast where there is none. */
static void neighbour(const char *device, uint8_t mac[ETH_ALEN])
{
	char line[256], hardware[32], interface[32];
	memset(mac, 0xff, ETH_ALEN);
	FILE *file = fopen("/proc/net/arp", "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*s %*s %*s %31s %*s %31s", hardware, interface) == 2 && !strcmp(interface, device) &&
			strcmp(hardware, "00:00:00:00:00:00"))
			sscanf(hardware, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
				&mac[5]);
	}
	if (file)
		fclose(file);
}

/*
 * frame DEVICE KIND SRC DST PORT [MAC]: the same past the stack, with the neighbour's hardware address (or broadcast).
 * frame DEVICE ra: an IPv6 router advertisement to all nodes (RFC 4861 section 4.2).
 */
static void do_frame(int argc, char **argv)
{
	uint8_t buf[128] = { 0 };
	size_t len;
	double start = now_ms();
	bool ra = strcmp(argv[2], "ra") == 0;
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		result("socket", errno, now_ms() - start);
		return;
	}
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		.sll_halen = ETH_ALEN,
		.sll_ifindex = (int) if_nametoindex(argv[1]),
		.sll_protocol = htons(ra ? ETH_P_IPV6 : ETH_P_IP) };
	if (ra) {
		static const uint8_t header[] = { 0x60, 0, 0, 0, 0, 16, IPPROTO_ICMPV6, 255, 0xfe, 0x80, 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 134, 0, 0, 0, 64,
			0, 0xff, 0xff };
		memcpy(buf, header, sizeof(header));
		len = 56;
		uint32_t pseudo = 16 + IPPROTO_ICMPV6;
		for (size_t i = 8; i < 40; i += 2)
			pseudo += (uint32_t) (buf[i] << 8 | buf[i + 1]);
		uint16_t sum = checksum(buf + 40, 16, pseudo);
		memcpy(buf + 42, &sum, 2);
		memcpy(to.sll_addr, "\x33\x33\0\0\0\1", ETH_ALEN);
	} else if (argc > 5) {
		len = packet_make(buf, argv[2], argv[3], argv[4], (uint16_t) atoi(argv[5]));
		if (argc > 6)
			memset(to.sll_addr, 0xff, ETH_ALEN);
		else
			neighbour(argv[1], to.sll_addr);
	} else {
		result("usage", EINVAL, 0);
		close(fd);
		return;
	}
	ssize_t sent = sendto(fd, buf, len, 0, (struct sockaddr *) &to, sizeof(to));
	result("sendto", sent < 0 ? errno : 0, now_ms() - start);
	close(fd);
}

/* env: the environment as this process has it, and as /proc shows it */
static void do_env(int argc, char **argv)
{
	static char text[REPLY_MAX * 4];
	(void) argc;
	(void) argv;
	printf("{\"ok\":true,\"env\":[");
	for (char **e = environ; *e; e++) {
		if (e != environ)
			putchar(',');
		json_string(*e, strlen(*e));
	}
	printf("],\"proc\":");
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	json_string(text, n > 0 ? (size_t) n : 0);
	if (fd >= 0)
		close(fd);
	printf("}\n");
}

/* ids: who this process is */
static void do_ids(int argc, char **argv)
{
	uid_t real, effective, saved;
	(void) argc;
	(void) argv;
	getresuid(&real, &effective, &saved);
	printf("{\"ok\":true,\"uid\":%u,\"euid\":%u}\n", real, effective);
}

/* file PATH: its content */
static void do_file(int argc, char **argv)
{
	static char text[REPLY_MAX];
	(void) argc;
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		result("open", errno, 0);
		return;
	}
	ssize_t n = read(fd, text, sizeof(text));
	printf("{\"ok\":true,\"text\":");
	json_string(text, n > 0 ? (size_t) n : 0);
	printf("}\n");
	close(fd);
}

/* route ADDRESS GATEWAY DEVICE: adds one without netlink; to a host, or (0.0.0.0) to all; by a gateway, or (0.0.0.0) none */
static void do_route(int argc, char **argv)
{
	struct rtentry entry = { .rt_flags = RTF_UP, .rt_dev = argv[3] };
	struct sockaddr_storage to, gateway;
	socklen_t len;
	(void) argc;
	if (!address(argv[1], "0", &to, &len) || !address(argv[2], "0", &gateway, &len)) {
		result("address", EINVAL, 0);
		return;
	}
	memcpy(&entry.rt_dst, &to, sizeof(entry.rt_dst));
	memcpy(&entry.rt_gateway, &gateway, sizeof(entry.rt_gateway));
	entry.rt_genmask.sa_family = AF_INET;
	if (((struct sockaddr_in *) &to)->sin_addr.s_addr)
		entry.rt_flags |= RTF_HOST;
	if (((struct sockaddr_in *) &gateway)->sin_addr.s_addr)
		entry.rt_flags |= RTF_GATEWAY;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		result("socket", errno, 0);
		return;
	}
	result("ioctl", ioctl(fd, SIOCADDRT, &entry) < 0 ? errno : 0, 0);
	close(fd);
}

/* sh COMMAND...: the rest of the line in the rootfs's shell; its output and status */
static void do_sh(int argc, char **argv)
{
	static char text[REPLY_MAX];
	(void) argc;
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		result("pipe", errno, 0);
		return;
	}
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(pipe_fds[1], 1);
		dup2(pipe_fds[1], 2);
		execl("/bin/sh", "sh", "-c", argv[1], (char *) NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	size_t n = read_some(pipe_fds[0], text, sizeof(text), 60000, NULL);
	close(pipe_fds[0]);
	int status = 0;
	waitpid(child, &status, 0);
	printf("{\"ok\":%s,\"status\":%d,\"out\":", status ? "false" : "true",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	json_string(text, n);
	printf("}\n");
}

static const struct command {
	const char *name;
	int min_args; /* the name included */
	void (*run)(int argc, char **argv);
} commands[] = {
	{ "connect", 3, do_connect },
	{ "udp", 3, do_udp },
	{ "socket", 4, do_socket },
	{ "syscall", 2, do_syscall },
	{ "fetch", 2, do_fetch },
	{ "hold", 3, do_hold },
	{ "request", 2, do_request },
	{ "raw", 5, do_raw },
	{ "frame", 3, do_frame },
	{ "env", 1, do_env },
	{ "ids", 1, do_ids },
	{ "file", 2, do_file },
	{ "route", 4, do_route },
	{ "sh", 2, do_sh },
};

static void command(char *line)
{
	char *argv[ARGS_MAX] = { NULL };
	int argc = 0;
	bool shell = strncmp(line, "sh ", 3) == 0;
	for (char *p = strtok(line, " "); p && argc < ARGS_MAX; p = strtok(NULL, shell ? "" : " "))
		argv[argc++] = p;
	for (size_t i = 0; argc && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name) == 0 && argc >= commands[i].min_args) {
			commands[i].run(argc, argv);
			return;
		}
	}
	result("usage", EINVAL, 0);
}

int main(int argc, char **argv)
{
	static char line[4 * REPLY_MAX];
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (argc > 1) { /* one command, as arguments */
		size_t n = 0;
		for (int i = 1; i < argc; i++)
			n += (size_t) snprintf(line + n, sizeof(line) - n, "%s%s", i > 1 ? " " : "", argv[i]);
		command(line);
		return fflush(stdout) != 0;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		command(line);
		fflush(stdout);
	}
	return 0;
}
