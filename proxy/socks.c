/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/socks.h"

#include <string.h>

#define COMMAND_CONNECT 1

enum address_type {
	TYPE_IPV4 = 1,
	TYPE_NAME = 3,
	TYPE_IPV6 = 4,
};

enum parse_result socks_parse_greeting(const uint8_t *bytes, size_t len, size_t *ret_len, enum socks_method *ret_method)
{
	if (len > 0 && bytes[0] != SOCKS_VERSION)
		return PARSE_BAD;
	if (len < 2 || len < 2u + bytes[1])
		return PARSE_MORE;
	*ret_len = 2u + bytes[1];
	*ret_method = memchr(bytes + 2, SOCKS_NO_AUTHENTICATION, bytes[1]) ? SOCKS_NO_AUTHENTICATION
									   : SOCKS_NO_ACCEPTABLE_METHODS;
	return PARSE_DONE;
}

static enum parse_result bad(struct socks_request *request, enum reason reason, const char *problem)
{
	request->reason = reason;
	request->problem = problem;
	return PARSE_BAD;
}

/* VER CMD RSV ATYP, each looked at as soon as it is there. */
static enum parse_result parse_start(const uint8_t *bytes, size_t len, struct socks_request *ret)
{
	if (len > 0 && bytes[0] != SOCKS_VERSION)
		return bad(ret, REASON_BAD_REQUEST, "the version of the request is not 5");
	if (len > 1 && bytes[1] != COMMAND_CONNECT)
		return bad(ret, REASON_METHOD_NOT_ALLOWED, NULL);
	if (len > 2 && bytes[2] != 0)
		return bad(ret, REASON_BAD_REQUEST, "the reserved byte is not 0");
	if (len > 3 && bytes[3] != TYPE_IPV4 && bytes[3] != TYPE_NAME && bytes[3] != TYPE_IPV6)
		return bad(ret, REASON_ADDRESS_TYPE, NULL);
	return len < 4 ? PARSE_MORE : PARSE_DONE;
}

/* The bytes of DST.ADDR, whose length field is the only truth: where they start and how many they are. */
static enum parse_result find_address(
	const uint8_t *bytes, size_t len, size_t *ret_start, size_t *ret_len, struct socks_request *ret)
{
	*ret_start = 4;
	switch (bytes[3]) {
	case TYPE_IPV4:
		*ret_len = 4;
		return PARSE_DONE;
	case TYPE_IPV6:
		*ret_len = 16;
		return PARSE_DONE;
	default:
		if (len < 5)
			return PARSE_MORE;
		*ret_start = 5;
		*ret_len = bytes[4];
		return *ret_len > 0 ? PARSE_DONE : bad(ret, REASON_BAD_REQUEST, "the host is empty");
	}
}

static host_problem parse_host(enum address_type type, const uint8_t *bytes, size_t len, struct host *ret)
{
	if (type == TYPE_NAME)
		return host_parse((const char *) bytes, len, ret);
	struct address address = { .family = type == TYPE_IPV4 ? AF_INET : AF_INET6 };
	memcpy(address.bytes, bytes, len);
	host_from_address(&address, ret);
	return NULL;
}

enum parse_result socks_parse_request(const uint8_t *bytes, size_t len, struct socks_request *ret)
{
	size_t at, n;
	enum parse_result result = parse_start(bytes, len, ret);
	if (result == PARSE_DONE)
		result = find_address(bytes, len, &at, &n, ret);
	if (result != PARSE_DONE)
		return result;
	if (len < at + n + 2)
		return PARSE_MORE;

	host_problem problem = parse_host((enum address_type) bytes[3], bytes + at, n, &ret->host);
	if (problem)
		return bad(ret, REASON_BAD_REQUEST, problem);
	ret->port = (uint16_t) (bytes[at + n] << 8 | bytes[at + n + 1]);
	if (ret->port == 0)
		return bad(ret, REASON_BAD_REQUEST, "the port is 0");
	ret->len = at + n + 2;
	return PARSE_DONE;
}

/* -- replies -- */

enum socks_reply socks_reply_of(enum reason reason)
{
	switch (reason) { /* no default: the compiler names the reason that has no reply */
	case REASON_ALLOWED:
		return SOCKS_SUCCEEDED;
	case REASON_NOT_LISTED:
	case REASON_DENIED:
	case REASON_PORT_NOT_LISTED:
	case REASON_ADDRESS_FORBIDDEN:
	case REASON_POLICY_CHANGED:
	case REASON_SNI_MISMATCH:
		return SOCKS_NOT_ALLOWED;
	case REASON_METHOD_NOT_ALLOWED:
		return SOCKS_COMMAND_NOT_SUPPORTED;
	case REASON_ADDRESS_TYPE:
		return SOCKS_ADDRESS_TYPE_NOT_SUPPORTED;
	case REASON_CONNECT_REFUSED:
		return SOCKS_CONNECTION_REFUSED;
	case REASON_CONNECT_UNREACHABLE:
		return SOCKS_NETWORK_UNREACHABLE;
	case REASON_RESOLVE_FAILED:
	case REASON_RESOLVE_ERROR:
	case REASON_RESOLVE_TIMEOUT:
	case REASON_CONNECT_TIMEOUT:
		return SOCKS_HOST_UNREACHABLE;
	case REASON_NONE:
	case REASON_BAD_REQUEST:
	case REASON_HEAD_TOO_LARGE:
	case REASON_HEAD_TIMEOUT:
	case REASON_CONTENT_TIMEOUT:
	case REASON_EXPECTATION:
	case REASON_LOOP:
	case REASON_CLIENT_CLOSED:
	case REASON_BAD_RESPONSE:
	case REASON_RESPONSE_TOO_LARGE:
	case REASON_RESPONSE_TIMEOUT:
	case REASON_ORIGIN_CLOSED:
	case REASON_CLIENT_RESET:
	case REASON_ORIGIN_RESET:
	case REASON_IDLE_TIMEOUT:
	case REASON_SNI_TIMEOUT:
	case REASON_LIMIT_CONNECTIONS:
	case REASON_LIMIT_RESOURCES:
	case REASON_LIMIT_RATE:
	case REASON_LIMIT_LOOKUPS:
	case REASON_LIMIT_BYTES:
	case REASON_TOTAL_TIMEOUT:
	case REASON_SHUTDOWN:
	case REASON_WORKER_DIED:
	case REASON_COUNT:
		break;
	}
	return SOCKS_GENERAL_FAILURE;
}

void socks_write_method(enum socks_method method, char ret[SOCKS_METHOD_LEN])
{
	ret[0] = SOCKS_VERSION;
	ret[1] = (char) method;
}

void socks_write_reply(enum socks_reply reply, char ret[SOCKS_REPLY_LEN])
{
	memset(ret, 0, SOCKS_REPLY_LEN);
	ret[0] = SOCKS_VERSION;
	ret[1] = (char) reply;
	ret[3] = TYPE_IPV4; /* 0.0.0.0:0 */
}
