/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name in a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), read where it lies in the caller's
 * buffer, however many records it is spread over. What servers are known to take for a hello is one here, too: any
 * record version below 16.0, and SSL 2.0's form. Never touches a socket, and keeps nothing between calls.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proxy/parse.h"

/* The longest hello, record headers included: a record may have 16 KiB. */
#define CLIENT_HELLO_MAX (32 << 10)

/* The longest name, with its dot; longer ones are PARSE_BAD. */
#define CLIENT_HELLO_NAME_MAX 254

enum client_hello_kind {
	CLIENT_HELLO_NONE,    /* these bytes do not begin with TLS */
	CLIENT_HELLO_UNNAMED, /* a hello that names no host */
	CLIENT_HELLO_NAMED,
};

struct client_hello {
	enum client_hello_kind kind; /* with PARSE_DONE */
	size_t need; /* with PARSE_MORE: bytes since the first, up to CLIENT_HELLO_MAX, before which nothing changes */
	uint8_t name_len;
	char name[CLIENT_HELLO_NAME_MAX]; /* as it came: any bytes */
};

/*
 * The first len bytes of a stream. PARSE_BAD: it is TLS, but no well-formed hello comes first, more than one name or
 * none is in its server_name extension, or it is too long.
 */
enum parse_result client_hello_parse(const uint8_t *bytes, size_t len, struct client_hello *ret);
