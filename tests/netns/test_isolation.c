/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody who is root in the container can reach over the link: the proxy's port, and not one packet further.
 * Every attack is also run against a plain veth to the host, where it must succeed: else it would prove nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netns/netns.h"
#include "tests/netns/fixture.h"

#define PROXY "198.18.0.2"
#define CONTAINER "198.18.0.3"
#define SPOOFED "203.0.113.200"
#define WAIT_MS 2000

struct frame {
	struct ethhdr eth;
	union {
		struct {
			struct iphdr ip;
			union {
				struct udphdr udp;
				struct icmphdr icmp;
			};
		} __attribute__((packed));
		struct {
			struct arphdr arp;
			uint8_t sender_mac[ETH_ALEN];
			uint8_t sender[4];
			uint8_t target_mac[ETH_ALEN];
			uint8_t target[4];
		} __attribute__((packed));
	};
} __attribute__((packed));

/* The link as the attacker sees it: a raw socket on oe0, and the addresses of the other side. */
struct attacker {
	int netns;
	int sock;
	uint8_t own_mac[ETH_ALEN], gateway_mac[ETH_ALEN];
};

static int sniffer(int netns)
{
	struct error err;
	int fd = -1;

	assert_int_equal(netns_socket(netns, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL), &fd, &err), 0);
	return fd;
}

static int count(int sniffing)
{
	int n = 0;
	char frame[2048];

	while (recv(sniffing, frame, sizeof(frame), 0) >= 0)
		n++;
	assert_int_equal(errno, EAGAIN);
	return n;
}

static void read_mac(int netns, const char *name, uint8_t mac[ETH_ALEN])
{
	char command[96];
	unsigned bytes[ETH_ALEN];

	(void) snprintf(command, sizeof(command), "ip -br link show dev %s | awk '{ print $3 }'", name);
	char *text = fixture_output(netns, command);
	int n = sscanf(text, "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5]);
	free(text);
	assert_int_equal(n, ETH_ALEN);
	for (size_t i = 0; i < ETH_ALEN; i++)
		mac[i] = (uint8_t) bytes[i];
}

static int bind_to_oe0(void *arg, struct error *err)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int) if_nametoindex(LINK_NAME),
	};

	(void) err;
	return bind(*(const int *) arg, (const struct sockaddr *) &to, sizeof(to)) < 0 ? -errno : 0;
}

static struct attacker attacker_open(int container, int gateway)
{
	struct attacker attacker = { .netns = container, .sock = sniffer(container) };

	assert_int_equal(netns_call(container, bind_to_oe0, &attacker.sock, NULL), 0);
	read_mac(container, LINK_NAME, attacker.own_mac);
	read_mac(gateway, LINK_TRANSIT_NAME, attacker.gateway_mac);
	return attacker;
}

static struct frame frame_to_gateway(const struct attacker *attacker, uint16_t protocol)
{
	struct frame frame;

	memset(&frame, 0, sizeof(frame));
	memcpy(frame.eth.h_source, attacker->own_mac, ETH_ALEN);
	memcpy(frame.eth.h_dest, attacker->gateway_mac, ETH_ALEN);
	frame.eth.h_proto = htons(protocol);
	return frame;
}

static void attacker_send(const struct attacker *attacker, const struct frame *frame, size_t len)
{
	assert_int_equal(send(attacker->sock, frame, len, 0), (ssize_t) len);
}

static uint16_t checksum(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t) (at[i] << 8 | at[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~sum);
}

static void frame_set_ip(struct frame *frame, const char *from, const char *to, uint8_t protocol, size_t payload)
{
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.ttl = 64;
	frame->ip.protocol = protocol;
	frame->ip.tot_len = htons((uint16_t) (sizeof(frame->ip) + payload));
	frame->ip.saddr = inet_addr(from);
	frame->ip.daddr = inet_addr(to);
	frame->ip.check = checksum(&frame->ip, sizeof(frame->ip));
}

static void send_udp(const struct attacker *attacker, const char *from, const char *to)
{
	struct frame frame = frame_to_gateway(attacker, ETH_P_IP);

	frame_set_ip(&frame, from, to, IPPROTO_UDP, sizeof(frame.udp));
	frame.udp.source = htons(53);
	frame.udp.dest = htons(53);
	frame.udp.len = htons(sizeof(frame.udp));
	attacker_send(attacker, &frame, sizeof(frame.eth) + sizeof(frame.ip) + sizeof(frame.udp));
}

static void send_icmp(const struct attacker *attacker, uint8_t type, const char *from, const char *to)
{
	struct frame frame = frame_to_gateway(attacker, ETH_P_IP);

	frame_set_ip(&frame, from, to, IPPROTO_ICMP, sizeof(frame.icmp));
	frame.icmp.type = type;
	frame.icmp.checksum = checksum(&frame.icmp, sizeof(frame.icmp));
	attacker_send(attacker, &frame, sizeof(frame.eth) + sizeof(frame.ip) + sizeof(frame.icmp));
}

static void send_arp(const struct attacker *attacker, const char *target)
{
	struct frame frame = frame_to_gateway(attacker, ETH_P_ARP);

	memset(frame.eth.h_dest, 0xff, ETH_ALEN);
	frame.arp.ar_hrd = htons(ARPHRD_ETHER);
	frame.arp.ar_pro = htons(ETH_P_IP);
	frame.arp.ar_hln = ETH_ALEN;
	frame.arp.ar_pln = 4;
	frame.arp.ar_op = htons(ARPOP_REQUEST);
	memcpy(frame.sender_mac, attacker->own_mac, ETH_ALEN);
	assert_int_equal(inet_pton(AF_INET, CONTAINER, frame.sender), 1);
	assert_int_equal(inet_pton(AF_INET, target, frame.target), 1);
	attacker_send(attacker, &frame,
		sizeof(frame.eth) + sizeof(frame.arp) + sizeof(frame.sender_mac) * 2 + sizeof(frame.sender) * 2);
}

/* The next frame that comes in over the link; frames are handled in order, so an answer is also a barrier. */
static void attacker_receive(const struct attacker *attacker, struct frame *ret)
{
	for (;;) {
		struct pollfd event = { .fd = attacker->sock, .events = POLLIN };
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);

		assert_int_equal(poll(&event, 1, WAIT_MS), 1);
		memset(ret, 0, sizeof(*ret));
		if (recvfrom(attacker->sock, ret, sizeof(*ret), 0, (struct sockaddr *) &from, &len) >= 0 &&
			from.sll_pkttype != PACKET_OUTGOING)
			return;
	}
}

/* Asks for the proxy's own hardware address and waits for the answer. Returns how many other answers came before it. */
static int others_before_the_proxy(const struct attacker *attacker)
{
	uint8_t proxy[4];
	int n = 0;

	assert_int_equal(inet_pton(AF_INET, PROXY, proxy), 1);
	send_arp(attacker, PROXY);
	for (;;) {
		struct frame frame;
		attacker_receive(attacker, &frame);
		if (frame.eth.h_proto == htons(ETH_P_ARP) && frame.arp.ar_op == htons(ARPOP_REPLY)) {
			if (memcmp(frame.sender, proxy, sizeof(proxy)) == 0)
				return n;
			n++;
		}
		if (frame.eth.h_proto == htons(ETH_P_IP) && frame.ip.protocol == IPPROTO_ICMP)
			n++;
	}
}

/* As root in the container, by ordinary means: routes, addresses, neighbours. */
static void attack_with_net_admin(const struct attacker *attacker)
{
	static const char *const targets[] = { FIXTURE_INTERNET, FIXTURE_HOST_OUTSIDE, FIXTURE_HOST_INSIDE, PROXY };
	static const char *const sources[] = { CONTAINER, SPOOFED, "0.0.0.0" };
	char command[1024];
	const uint8_t *mac = attacker->gateway_mac;

	(void) snprintf(command, sizeof(command),
		"ip link set lo up; ip addr add " SPOOFED "/24 dev " LINK_NAME "; ip route add default via " PROXY "; "
		"for a in " FIXTURE_INTERNET " " FIXTURE_HOST_OUTSIDE " " FIXTURE_HOST_INSIDE "; do "
		"ip neigh replace $a lladdr %02x:%02x:%02x:%02x:%02x:%02x nud permanent dev " LINK_NAME "; done; "
		"sysctl -qw net.ipv4.conf." LINK_NAME ".rp_filter=0 net.ipv4.conf." LINK_NAME ".accept_redirects=1; "
		"sysctl -qw net.ipv6.conf." LINK_NAME ".disable_ipv6=0 || true",
		mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	fixture_sh(attacker->netns, command);

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sources); j++) {
			_cleanup_close_ int udp = -1, tcp = -1;
			struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(sources[j]) };
			struct sockaddr_in to = {
				.sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = inet_addr(targets[i])
			};
			struct error err;
			assert_int_equal(netns_socket(attacker->netns, AF_INET, SOCK_DGRAM, 0, &udp, &err), 0);
			assert_int_equal(
				netns_socket(attacker->netns, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, &tcp, &err), 0);
			assert_int_equal(bind(udp, (const struct sockaddr *) &from, sizeof(from)), 0);
			assert_int_equal(bind(tcp, (const struct sockaddr *) &from, sizeof(from)), 0);
			(void) sendto(udp, "x", 1, 0, (const struct sockaddr *) &to, sizeof(to));
			(void) connect(tcp, (const struct sockaddr *) &to, sizeof(to));
		}
}

/* With raw sockets: whatever addresses, in both fields. */
static void attack_with_net_raw(const struct attacker *attacker)
{
	static const char *const targets[] = { FIXTURE_INTERNET, FIXTURE_HOST_OUTSIDE, FIXTURE_HOST_INSIDE, PROXY,
		"127.0.0.1", "255.255.255.255", "224.0.0.1", "198.18.0.4" };
	static const char *const sources[] = { CONTAINER, SPOOFED, FIXTURE_HOST_OUTSIDE, FIXTURE_INTERNET, PROXY,
		"127.0.0.1", "0.0.0.0" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sources); j++) {
			send_udp(attacker, sources[j], targets[i]);
			send_icmp(attacker, ICMP_ECHO, sources[j], targets[i]);
			send_icmp(attacker, ICMP_REDIRECT, sources[j], targets[i]);
		}
}

static void plain_veth(const struct fixture *fixture)
{
	char command[160];

	(void) snprintf(command, sizeof(command),
		"ip link add " LINK_TRANSIT_NAME " index 16384 type veth peer name " LINK_NAME " netns /proc/%d/fd/%d",
		(int) getpid(), fixture->container);
	fixture_sh(fixture->host, command);
	fixture_sh(fixture->host,
		"ip addr add " PROXY "/31 dev " LINK_TRANSIT_NAME "; ip link set " LINK_TRANSIT_NAME " up");
	fixture_sh(fixture->container, "ip addr add " CONTAINER "/31 dev " LINK_NAME "; ip link set " LINK_NAME " up");
	struct attacker attacker = attacker_open(fixture->container, fixture->host);
	(void) others_before_the_proxy(&attacker); /* both ends have come up */
	close(attacker.sock);
}

static void assert_hit(int sniffing)
{
	struct pollfd event = { .fd = sniffing, .events = POLLIN };
	assert_int_equal(poll(&event, 1, WAIT_MS), 1);
	assert_true(count(sniffing) > 0);
}

/* Against a plain veth: the host and the Internet see it. */
static void control(const struct fixture *fixture, void (*attack)(const struct attacker *attacker))
{
	plain_veth(fixture);
	struct attacker attacker = attacker_open(fixture->container, fixture->host);
	_cleanup_close_ int host = sniffer(fixture->host), internet = sniffer(fixture->internet);

	attack(&attacker);
	assert_hit(host);
	assert_hit(internet);
	close(attacker.sock);
}

/* Against the link: nobody does, neither does another container, and the proxy's port still answers. */
static void assert_contained(const struct fixture *fixture, void (*attack)(const struct attacker *attacker))
{
	struct fixture other = *fixture;
	other.container = fixture_netns();
	struct link other_link = fixture_link(&other, LINK_VETH);
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int transit = fixture_netns_of(link.listener);
	_cleanup_close_ int client = -1, server = -1;
	struct attacker attacker = attacker_open(fixture->container, transit);
	_cleanup_close_ int host = sniffer(fixture->host), internet = sniffer(fixture->internet);
	_cleanup_close_ int neighbour = sniffer(other.container);

	attack(&attacker);
	(void) others_before_the_proxy(&attacker);
	fixture_connect(fixture, &link, &client, &server);
	assert_int_equal(count(host), 0);
	assert_int_equal(count(internet), 0);
	assert_int_equal(count(neighbour), 0);
	close(attacker.sock);
	link_undo(other.container, &other_link);
	close(other.container);
	link_undo(fixture->container, &link);
}

static void test_net_admin_control(void **state)
{
	control(*state, attack_with_net_admin);
}

static void test_net_admin_is_contained(void **state)
{
	assert_contained(*state, attack_with_net_admin);
}

static void test_net_raw_control(void **state)
{
	control(*state, attack_with_net_raw);
}

static void test_net_raw_is_contained(void **state)
{
	assert_contained(*state, attack_with_net_raw);
}

/* Answers to what nobody but the transit could answer. */
static int answers(const struct attacker *attacker)
{
	send_arp(attacker, FIXTURE_INTERNET);
	send_arp(attacker, FIXTURE_HOST_OUTSIDE);
	send_arp(attacker, FIXTURE_HOST_INSIDE);
	send_arp(attacker, "127.0.0.1"); /* answered where route_localnet is 1 */
	send_arp(attacker, "198.18.0.4");
	int n = others_before_the_proxy(attacker);
	send_icmp(attacker, ICMP_ECHO, CONTAINER, PROXY);
	return n + others_before_the_proxy(attacker);
}

static void test_answers_control(void **state)
{
	const struct fixture *fixture = *state;

	plain_veth(fixture);
	struct attacker attacker = attacker_open(fixture->container, fixture->host);
	assert_int_equal(answers(&attacker), 4); /* three addresses of the host's, and the echo */
	close(attacker.sock);
}

static void test_transit_answers_for_its_address_alone(void **state)
{
	const struct fixture *fixture = *state;
	struct link link = fixture_link(fixture, LINK_VETH);
	_cleanup_close_ int transit = fixture_netns_of(link.listener);
	struct attacker attacker = attacker_open(fixture->container, transit);

	assert_int_equal(answers(&attacker), 0);
	close(attacker.sock);
	link_undo(fixture->container, &link);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_internet, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_net_admin_control),
		TEST(test_net_admin_is_contained),
		TEST(test_net_raw_control),
		TEST(test_net_raw_is_contained),
		TEST(test_answers_control),
		TEST(test_transit_answers_for_its_address_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
