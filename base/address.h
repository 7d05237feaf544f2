/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 and IPv6 addresses and networks as values, and the floor: what no name may resolve to. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];  /* network byte order; the first 4 for AF_INET, the rest 0 */
};

struct network {
	struct address base; /* host bits 0 */
	uint8_t prefix;      /* bits */
};

/* INET6_ADDRSTRLEN, and "/128" */
#define ADDRESS_TEXT_MAX 46
#define NETWORK_TEXT_MAX 50

/* Canonical text only: a dotted quad without leading zeros, or RFC 4291 section 2.2 (no zone id). False: it is not. */
bool address_parse4(const char *bytes, size_t len, struct address *ret);
bool address_parse6(const char *bytes, size_t len, struct address *ret);

/* RFC 5952 text. */
void address_format(const struct address *address, char buf[ADDRESS_TEXT_MAX]);

/*
 * "ADDRESS/PREFIX", IPv6 without brackets; a bare address is its own network; IPv4 is not written as IPv4-mapped IPv6.
 * NULL, or a constant sentence that says what is wrong.
 */
const char *network_parse(const char *bytes, size_t len, struct network *ret);
void network_format(const struct network *network, char buf[NETWORK_TEXT_MAX]);
bool network_contains(const struct network *network, const struct address *address);

bool address_equal(const struct address *a, const struct address *b);

/* IPv4-mapped (::ffff:0:0/96, RFC 4291 section 2.5.5.2): connect(2) to it is one to an IPv4 address. */
bool address_is_mapped(const struct address *address);

/*
 * The floor: loopback, private, link-local, metadata, multicast, documentation, benchmarking and other special-purpose
 * ranges (RFC 6890 and the IANA registries behind it), and every IPv6 form that embeds an IPv4 address: mapped,
 * compatible, SIIT, NAT64, 6to4, Teredo. Returns the range it lies in, or NULL where it is none of these.
 */
const struct network *address_floor(const struct address *address);

/* For connect(2) and from accept(2). Returns the length of *ret; port in host byte order. */
socklen_t address_to_sockaddr(const struct address *address, uint16_t port, struct sockaddr_storage *ret);
bool address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address, uint16_t *ret_port);
