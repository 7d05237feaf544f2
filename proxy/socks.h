/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOCKS5 (RFC 1928) without authentication: what a client says before its tunnel, parsed where it lies in the caller's
 * buffer, and the replies. Never touches a socket. Both parsers start anew with each call: messages are short.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "proxy/parse.h"
#include "proxy/reason.h"

#define SOCKS_VERSION 5

#define SOCKS_GREETING_MAX (2 + 255)
#define SOCKS_REQUEST_MAX (4 + 1 + 255 + 2)
#define SOCKS_MESSAGE_MAX SOCKS_REQUEST_MAX

#define SOCKS_METHOD_LEN 2
#define SOCKS_REPLY_LEN 10

enum socks_method {
	SOCKS_NO_AUTHENTICATION = 0x00,
	SOCKS_NO_ACCEPTABLE_METHODS = 0xff,
};

/* RFC 1928 section 6. */
enum socks_reply {
	SOCKS_SUCCEEDED = 0,
	SOCKS_GENERAL_FAILURE = 1,
	SOCKS_NOT_ALLOWED = 2,
	SOCKS_NETWORK_UNREACHABLE = 3,
	SOCKS_HOST_UNREACHABLE = 4,
	SOCKS_CONNECTION_REFUSED = 5,
	SOCKS_COMMAND_NOT_SUPPORTED = 7,
	SOCKS_ADDRESS_TYPE_NOT_SUPPORTED = 8,
};

/*
 * The greeting (section 3). With PARSE_DONE *ret_len is how many bytes it has and *ret_method what is to be answered;
 * where that is SOCKS_NO_ACCEPTABLE_METHODS, nothing more follows.
 */
enum parse_result socks_parse_greeting(
	const uint8_t *bytes, size_t len, size_t *ret_len, enum socks_method *ret_method);

struct socks_request {
	size_t len;          /* with PARSE_DONE: of the request; what follows is the tunnel's */
	struct host host;    /* with PARSE_DONE */
	uint16_t port;       /* with PARSE_DONE: from 1 */
	enum reason reason;  /* with PARSE_BAD */
	const char *problem; /* with PARSE_BAD: a constant sentence, or NULL where the reason says it all */
};

/*
 * The request (section 4): CONNECT to a name or an address. PARSE_BAD with the first byte that decides, with
 * REASON_BAD_REQUEST, REASON_METHOD_NOT_ALLOWED (BIND, UDP ASSOCIATE and others), or REASON_ADDRESS_TYPE.
 */
enum parse_result socks_parse_request(const uint8_t *bytes, size_t len, struct socks_request *ret);

/* What a reason is in SOCKS; SOCKS_SUCCEEDED for REASON_ALLOWED. */
enum socks_reply socks_reply_of(enum reason reason);

void socks_write_method(enum socks_method method, char ret[SOCKS_METHOD_LEN]);

/* Names no bound address: where this machine's connections come from is none of the client's business. */
void socks_write_reply(enum socks_reply reply, char ret[SOCKS_REPLY_LEN]);
