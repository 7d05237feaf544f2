/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/reason.h"

#include <assert.h>
#include <stddef.h>

#include "base/cleanup.h"

struct row {
	const char *code;
	unsigned http_status;
	const char *proxy_status;
	const char *sentence;
};

static const struct row rows[] = {
	[REASON_NONE] = { "open", 0, NULL, "The connection is still open." },

	[REASON_ALLOWED] = { "allowed", 200, NULL, "The policy allows this host and port." },

	[REASON_NOT_LISTED] = { "not-listed", 403, "http_request_denied",
		"The policy of this container does not list this host. There is no other way out: trying again, "
		"another port or "
		"another client will not help. Who administers the policy can add the host to \"allow\"." },
	[REASON_DENIED] = { "denied", 403, "http_request_denied",
		"The policy of this container denies this host by an entry of its own. There is no other way out: "
		"trying again "
		"or another client will not help. Who administers the policy can take the entry out of \"deny\"." },
	[REASON_PORT_NOT_LISTED] = { "port-not-listed", 403, "http_request_denied",
		"The policy of this container lists this host, but not on this port. Use a port that is listed; "
		"another client "
		"will not help. Who administers the policy can add HOST:PORT to \"allow\", or the port to \"ports\"." },
	[REASON_ADDRESS_FORBIDDEN] = { "address-forbidden", 403, "destination_ip_prohibited",
		"The policy of this container allows this host, but its address is loopback, private, link-local or "
		"otherwise not "
		"of the public Internet. Trying again will not help. Who administers the policy can add the address "
		"range to "
		"\"networks\"." },

	[REASON_BAD_REQUEST] = { "bad-request", 400, "http_request_error",
		"The request is malformed, or its target is not HOST:PORT with a canonical host name or address. "
		"Nothing was "
		"looked up or contacted: correct the request." },
	[REASON_METHOD_NOT_ALLOWED] = { "method-not-allowed", 405, "http_request_error",
		"This proxy does not carry out this method. For https:// URLs use CONNECT, for http:// URLs any but TRACE." },
	[REASON_ADDRESS_TYPE] = { "address-type", 400, "http_request_error",
		"The request has an address type that this proxy does not know: ask for a name, or for a listed IPv4 or "
		"IPv6 address." },
	[REASON_HEAD_TOO_LARGE] = { "head-too-large", 431, "http_request_error",
		"The request line and header fields are larger than this proxy takes: send fewer or shorter fields." },
	[REASON_HEAD_TIMEOUT] = { "head-timeout", 408, "http_request_error",
		"The request did not arrive in time: send the whole head at once." },
	[REASON_CONTENT_TIMEOUT] = { "content-timeout", 408, "http_request_error",
		"The content of the request did not arrive in time: send all that its head announces." },
	[REASON_EXPECTATION] = { "expectation", 417, "http_request_error",
		"The request expects something else than 100-continue, which is all that this proxy knows." },
	[REASON_LOOP] = { "loop", 508, "proxy_loop_detected",
		"The request has come through this proxy before: it is being sent in a circle." },
	[REASON_CLIENT_CLOSED] = { "client-closed", 0, NULL,
		"The client closed the connection before its request was answered." },

	[REASON_RESOLVE_FAILED] = { "resolve-failed", 502, "dns_error",
		"The policy allows this host, but the name does not exist or has no address: check its spelling." },
	[REASON_RESOLVE_ERROR] = { "resolve-error", 502, "dns_error",
		"The policy allows this host, but the name servers of the machine gave no usable answer: try again "
		"later." },
	[REASON_RESOLVE_TIMEOUT] = { "resolve-timeout", 504, "dns_timeout",
		"The policy allows this host, but the name servers of the machine did not answer in time: try again "
		"later." },
	[REASON_CONNECT_REFUSED] = { "connect-refused", 502, "connection_refused",
		"The policy allows this host, but it refused the connection: nothing listens on that port." },
	[REASON_CONNECT_UNREACHABLE] = { "connect-unreachable", 502, "destination_ip_unroutable",
		"The policy allows this host, but the machine has no route to it." },
	[REASON_CONNECT_TIMEOUT] = { "connect-timeout", 504, "connection_timeout",
		"The policy allows this host, but it did not answer the connection in time: try again later." },
	[REASON_BAD_RESPONSE] = { "bad-response", 502, "http_protocol_error",
		"The policy allows this host, but its response is malformed, or can be read in more ways than one." },
	[REASON_RESPONSE_TOO_LARGE] = { "response-too-large", 502, "http_response_header_section_size",
		"The policy allows this host, but the head of its response is larger than this proxy takes." },
	[REASON_RESPONSE_TIMEOUT] = { "response-timeout", 504, "http_response_timeout",
		"The policy allows this host, but it did not answer the request in time: try again later." },
	[REASON_ORIGIN_CLOSED] = { "origin-closed", 502, "connection_terminated",
		"The policy allows this host, but it closed the connection before its response was complete." },

	[REASON_POLICY_CHANGED] = { "policy-changed", 0, NULL,
		"The policy of this container was changed and does not allow the tunnel any more. Trying again will not "
		"help. Who administers the policy can have established tunnels stay with \"on_reload\": \"keep\"." },
	[REASON_SNI_MISMATCH] = { "sni-mismatch", 0, NULL,
		"The TLS ClientHello in the tunnel does not name the host that the tunnel was opened to. Trying again will "
		"not help: connect to the host by the name that TLS is to use. Who administers the policy can set \"sni\" "
		"to \"off\"." },
	[REASON_SNI_TIMEOUT] = { "sni-timeout", 0, NULL,
		"The TLS ClientHello in the tunnel did not arrive in time: send the whole of it at once." },
	[REASON_CLIENT_RESET] = { "client-reset", 0, NULL, "The client reset the tunnel." },
	[REASON_ORIGIN_RESET] = { "origin-reset", 0, NULL, "The other side reset the tunnel." },
	[REASON_IDLE_TIMEOUT] = { "idle-timeout", 0, NULL,
		"Neither side sent anything for longer than the policy lets a tunnel be idle." },
	[REASON_TOTAL_TIMEOUT] = { "total-timeout", 504, "connection_timeout",
		"The connection was open for longer than the policy lets any be." },

	[REASON_LIMIT_CONNECTIONS] = { "limit-connections", 503, "connection_limit_reached",
		"This container has as many connections open as its policy permits: close some, then try again." },
	[REASON_LIMIT_RATE] = { "limit-rate", 0, NULL,
		"This container opens more connections per second than its policy permits: they are taken when their "
		"time has come." },
	[REASON_LIMIT_LOOKUPS] = { "limit-lookups", 429, "connection_limit_reached",
		"This container has as many names looked up at a time as its policy permits: try again in a moment." },
	[REASON_LIMIT_BYTES] = { "limit-bytes", 0, NULL,
		"This container has moved as many bytes this second as its policy permits: what is left waits." },
	[REASON_LIMIT_RESOURCES] = { "limit-resources", 503, "proxy_internal_error",
		"The proxy has run out of descriptors, memory or ports: close some connections, then try again." },
	[REASON_SHUTDOWN] = { "shutdown", 503, "proxy_internal_error", "The proxy is stopping." },
	[REASON_WORKER_DIED] = { "worker-died", 0, NULL, "The proxy's worker died while the connection was open." },
};

/* Of holes between, which read as NULL, the unit test knows. */
static_assert(ARRAY_SIZE(rows) == REASON_COUNT, "every reason has its row");

static const struct row *reason_row(enum reason reason)
{
	static const struct row unknown = { "unknown", 500, "proxy_internal_error", "The proxy has failed." };
	return (unsigned) reason < REASON_COUNT ? &rows[reason] : &unknown;
}

const char *reason_code(enum reason reason)
{
	return reason_row(reason)->code;
}

unsigned reason_http_status(enum reason reason)
{
	return reason_row(reason)->http_status;
}

const char *reason_proxy_status(enum reason reason)
{
	return reason_row(reason)->proxy_status;
}

const char *reason_sentence(enum reason reason)
{
	return reason_row(reason)->sentence;
}
