/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one canonical host parser: policy entries, request targets, SOCKS and SNI names all pass here, so that
 * two spellings of a host are equal exactly when their canonical bytes are. Bytes with a length in, never C strings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define HOST_NAME_MAX_LEN 253 /* RFC 1035 section 2.3.4, without the trailing dot */

enum host_kind {
	HOST_NAME,    /* a DNS name */
	HOST_ADDRESS, /* an IPv4 or IPv6 literal */
};

struct host {
	enum host_kind kind;
	struct address address; /* for HOST_ADDRESS */
	uint8_t len;            /* of name, in bytes */
	/* lower case, no trailing dot, NUL-terminated; an address as text, without brackets. Last: who keeps many keeps
	 * them no longer than their names */
	char name[HOST_NAME_MAX_LEN + 1];
};

/* Why bytes are not a host or an authority. NULL means they are. */
typedef const char *host_problem;

/*
 * Parses a host without brackets: a DNS name (labels of [A-Za-z0-9_-], 1 to 63 octets, no hyphen at either end, 253
 * octets in all, one trailing dot dropped, ASCII case folded) or a canonical dotted quad. A last label of digits only,
 * or 0x and hexadecimal digits, makes it an address or nothing (WHATWG URL "ends in a number"). No other spelling is
 * forgiven. *ret is untouched on failure. Returns NULL, or a constant sentence that says what is wrong.
 */
host_problem host_parse(const char *bytes, size_t len, struct host *ret);

/* Parses what stands between brackets: RFC 4291 section 2.2 text, no zone id. */
host_problem host_parse_bracketed(const char *bytes, size_t len, struct host *ret);

/* The host that an address is, whatever its text. */
void host_from_address(const struct address *address, struct host *ret);

/* Parses a port: 1*DIGIT, no sign, no leading zero, 1 to 65535. */
host_problem host_parse_port(const char *bytes, size_t len, uint16_t *ret);

/*
 * Parses authority-form, host ":" port (RFC 9112 section 3.2.3; no userinfo). Where need_port is false the port may be
 * missing, with its colon, and is then 0. Both results are untouched on failure.
 */
host_problem host_parse_authority(
	const char *bytes, size_t len, bool need_port, struct host *ret_host, uint16_t *ret_port);

/* Same kind, same canonical bytes. */
bool host_equal(const struct host *a, const struct host *b);
