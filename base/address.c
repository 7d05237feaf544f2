/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define FLOOR4(a, b, c, d, bits)                  \
	{                                         \
		{ AF_INET, { a, b, c, d } }, bits \
	}
#define FLOOR6(bits, ...)                           \
	{                                           \
		{ AF_INET6, { __VA_ARGS__ } }, bits \
	}

static const struct network floor_table[] = {
	FLOOR4(0, 0, 0, 0, 8),        /* "this network"; 0.0.0.0 reaches loopback */
	FLOOR4(10, 0, 0, 0, 8),       /* private, RFC 1918 */
	FLOOR4(100, 64, 0, 0, 10),    /* carrier-grade NAT, RFC 6598; a cloud's metadata, 100.100.100.200 */
	FLOOR4(127, 0, 0, 0, 8),      /* loopback */
	FLOOR4(168, 63, 129, 16, 32), /* Azure's wire server: public by its number, answered by the hypervisor */
	FLOOR4(169, 254, 0, 0, 16),   /* link-local, and most clouds' metadata */
	FLOOR4(172, 16, 0, 0, 12),    /* private, RFC 1918 */
	FLOOR4(192, 0, 0, 0, 24),     /* IETF protocol assignments, RFC 6890; a cloud's metadata, 192.0.0.192 */
	FLOOR4(192, 0, 2, 0, 24),     /* documentation, RFC 5737 */
	FLOOR4(192, 88, 99, 0, 24),   /* 6to4 relay anycast, RFC 7526 */
	FLOOR4(192, 168, 0, 0, 16),   /* private, RFC 1918 */
	FLOOR4(198, 18, 0, 0, 15),    /* benchmarking, RFC 2544; our own links */
	FLOOR4(198, 51, 100, 0, 24),  /* documentation */
	FLOOR4(203, 0, 113, 0, 24),   /* documentation */
	FLOOR4(224, 0, 0, 0, 4),      /* multicast */
	FLOOR4(240, 0, 0, 0, 4),      /* reserved, and the limited broadcast */

	FLOOR6(96, 0),                                        /* unspecified, loopback, IPv4-compatible */
	FLOOR6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), /* IPv4-mapped, RFC 4291 section 2.5.5.2 */
	FLOOR6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0), /* SIIT, RFC 2765 */
	FLOOR6(96, 0, 0x64, 0xff, 0x9b),                      /* NAT64, RFC 6052 */
	FLOOR6(48, 0, 0x64, 0xff, 0x9b, 0, 1),                /* NAT64 of local use, RFC 8215 */
	FLOOR6(64, 1, 0),                                     /* discard-only, RFC 6666 */
	FLOOR6(64, 1, 0, 0, 0, 0, 0, 0, 1),                   /* dummy prefix, RFC 9780 */
	FLOOR6(23, 0x20, 1),                                  /* protocol assignments: Teredo, ORCHID, benchmarking */
	FLOOR6(32, 0x20, 1, 0x0d, 0xb8),                      /* documentation, RFC 3849 */
	FLOOR6(16, 0x20, 2),                                  /* 6to4, RFC 3056 */
	FLOOR6(20, 0x3f, 0xff),                               /* documentation, RFC 9637 */
	FLOOR6(16, 0x5f, 0),                                  /* segment routing identifiers, RFC 9602 */
	FLOOR6(7, 0xfc),        /* unique local, RFC 4193; a cloud's metadata, fd00:ec2::254 */
	FLOOR6(10, 0xfe, 0x80), /* link-local */
	FLOOR6(10, 0xfe, 0xc0), /* site-local, RFC 3879 */
	FLOOR6(8, 0xff),        /* multicast */
};

static uint8_t family_bits(sa_family_t family)
{
	return family == AF_INET ? 32 : 128;
}

/* Decimal digits without a leading zero, at most max: how far they go, 0 where there is no such number. */
static size_t parse_decimal(const char *bytes, size_t len, unsigned max, unsigned *ret)
{
	size_t i = 0;
	unsigned value = 0;
	while (i < len && bytes[i] >= '0' && bytes[i] <= '9') {
		if (i == 1 && bytes[0] == '0')
			return 0;
		value = value * 10 + (unsigned) (bytes[i++] - '0');
		if (value > max)
			return 0;
	}
	*ret = value;
	return i;
}

bool address_parse4(const char *bytes, size_t len, struct address *ret)
{
	struct address address = { .family = AF_INET };
	size_t at = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0 && (at == len || bytes[at++] != '.'))
			return false;
		unsigned octet;
		size_t digits = parse_decimal(bytes + at, len - at, 255, &octet);
		if (digits == 0)
			return false;
		address.bytes[i] = (uint8_t) octet;
		at += digits;
	}
	if (at != len)
		return false;
	*ret = address;
	return true;
}

bool address_parse6(const char *bytes, size_t len, struct address *ret)
{
	/* inet_pton(3) knows exactly RFC 4291's text, but reads a C string: nothing but its alphabet gets there. */
	char text[ADDRESS_TEXT_MAX];
	if (len >= sizeof(text))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		if (!hex && c != ':' && c != '.')
			return false;
		text[i] = c;
	}
	text[len] = '\0';

	struct address address = { .family = AF_INET6 };
	if (inet_pton(AF_INET6, text, address.bytes) != 1)
		return false;
	*ret = address;
	return true;
}

void address_format(const struct address *address, char buf[ADDRESS_TEXT_MAX])
{
	if (!inet_ntop(address->family, address->bytes, buf, ADDRESS_TEXT_MAX))
		(void) snprintf(buf, ADDRESS_TEXT_MAX, "?"); /* neither family: nothing that a parser made */
}

/* The bits behind the prefix are 0. */
static bool network_is_base(const struct network *network)
{
	for (unsigned bit = network->prefix; bit < family_bits(network->base.family); bit++)
		if (network->base.bytes[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

const char *network_parse(const char *bytes, size_t len, struct network *ret)
{
	const char *slash = len > 0 ? memchr(bytes, '/', len) : NULL;
	size_t address_len = slash ? (size_t) (slash - bytes) : len;
	struct network network = { 0 };
	if (!address_parse4(bytes, address_len, &network.base) && !address_parse6(bytes, address_len, &network.base))
		return "not an IPv4 or IPv6 network: ADDRESS or ADDRESS/PREFIX, without brackets or a zone";

	network.prefix = family_bits(network.base.family);
	if (slash) {
		unsigned prefix;
		size_t prefix_len = len - address_len - 1;
		size_t digits = parse_decimal(slash + 1, prefix_len, network.prefix, &prefix);
		if (digits == 0 || digits != prefix_len)
			return "the prefix is not a number of bits: 0 to 32 for IPv4, 0 to 128 for IPv6";
		network.prefix = (uint8_t) prefix;
	}
	if (!network_is_base(&network))
		return "the address has bits set behind the prefix";
	if (network.prefix >= 96 && address_is_mapped(&network.base))
		return "an IPv4-mapped network: IPv4 networks are written as IPv4";
	*ret = network;
	return NULL;
}

void network_format(const struct network *network, char buf[NETWORK_TEXT_MAX])
{
	char address[ADDRESS_TEXT_MAX];
	address_format(&network->base, address);
	(void) snprintf(buf, NETWORK_TEXT_MAX, "%s/%u", address, network->prefix);
}

bool network_contains(const struct network *network, const struct address *address)
{
	if (network->base.family != address->family || network->prefix > family_bits(address->family))
		return false;
	size_t whole = network->prefix / 8;
	if (memcmp(network->base.bytes, address->bytes, whole) != 0)
		return false;
	unsigned rest = network->prefix % 8;
	return rest == 0 || (network->base.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

bool address_is_mapped(const struct address *address)
{
	static const struct network mapped = FLOOR6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);
	return network_contains(&mapped, address);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

const struct network *address_floor(const struct address *address)
{
	for (size_t i = 0; i < ARRAY_SIZE(floor_table); i++)
		if (network_contains(&floor_table[i], address))
			return &floor_table[i];
	return NULL;
}

socklen_t address_to_sockaddr(const struct address *address, uint16_t port, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	if (address->family == AF_INET) {
		struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&sin.sin_addr, address->bytes, sizeof(sin.sin_addr));
		memcpy(ret, &sin, sizeof(sin));
		return sizeof(sin);
	}
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memcpy(&sin6.sin6_addr, address->bytes, sizeof(sin6.sin6_addr));
	memcpy(ret, &sin6, sizeof(sin6));
	return sizeof(sin6);
}

bool address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address, uint16_t *ret_port)
{
	struct address address = { .family = sa->sa_family };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in sin;
		memcpy(&sin, sa, sizeof(sin));
		memcpy(address.bytes, &sin.sin_addr, sizeof(sin.sin_addr));
		*ret_port = ntohs(sin.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 sin6;
		memcpy(&sin6, sa, sizeof(sin6));
		memcpy(address.bytes, &sin6.sin6_addr, sizeof(sin6.sin6_addr));
		*ret_port = ntohs(sin6.sin6_port);
	} else {
		return false;
	}
	*ret_address = address;
	return true;
}
