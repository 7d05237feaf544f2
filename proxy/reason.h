/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a connection ended as it did: one code for the log, one HTTP status, one Proxy-Status error type (RFC 9209
 * section 2.3), one sentence for people, the same behind every door and in `oci-egress check`.
 */
#pragma once

enum reason {
	REASON_NONE = 0, /* still open */

	REASON_ALLOWED, /* a tunnel that both sides ended in good order, or a whole response */

	/* the policy says no */
	REASON_NOT_LISTED,
	REASON_DENIED,
	REASON_PORT_NOT_LISTED,
	REASON_ADDRESS_FORBIDDEN, /* the name resolves to an address of the floor, or of this host */

	/* the client's request cannot be served */
	REASON_BAD_REQUEST,
	REASON_METHOD_NOT_ALLOWED,
	REASON_ADDRESS_TYPE, /* of SOCKS: neither a name nor an IPv4 or IPv6 address */
	REASON_HEAD_TOO_LARGE,
	REASON_HEAD_TIMEOUT,
	REASON_CONTENT_TIMEOUT,
	REASON_EXPECTATION,   /* another one than 100-continue */
	REASON_LOOP,          /* it has been here before */
	REASON_CLIENT_CLOSED, /* before a request was complete, or before the answer to it */

	/* the other side fails */
	REASON_RESOLVE_FAILED, /* no such name, or it has no address */
	REASON_RESOLVE_ERROR,  /* the name servers do not answer, or answer nonsense */
	REASON_RESOLVE_TIMEOUT,
	REASON_CONNECT_REFUSED,
	REASON_CONNECT_UNREACHABLE,
	REASON_CONNECT_TIMEOUT,
	REASON_BAD_RESPONSE,       /* malformed, or to be read in more ways than one */
	REASON_RESPONSE_TOO_LARGE, /* its head */
	REASON_RESPONSE_TIMEOUT,
	REASON_ORIGIN_CLOSED, /* before its response was complete */

	/* a tunnel ended early */
	REASON_POLICY_CHANGED, /* a new version of the policy does not allow it any more */
	REASON_SNI_MISMATCH, /* the policy says no: it began with a ClientHello that does not name the host asked for */
	REASON_SNI_TIMEOUT,  /* a ClientHello that did not arrive in time */
	REASON_CLIENT_RESET,
	REASON_ORIGIN_RESET,
	REASON_IDLE_TIMEOUT,
	REASON_TOTAL_TIMEOUT, /* a connection of any kind was open for too long */

	/* we fail */
	REASON_LIMIT_CONNECTIONS,
	REASON_LIMIT_RATE,      /* connections per second */
	REASON_LIMIT_LOOKUPS,   /* names asked for at a time */
	REASON_LIMIT_BYTES,     /* bytes per second: ends nothing, what it slows is only counted */
	REASON_LIMIT_RESOURCES, /* descriptors, memory, ports */
	REASON_SHUTDOWN,        /* the container's last process has ended, or the proxy was told to stop */
	REASON_WORKER_DIED,     /* written by the keeper */

	REASON_COUNT
};

/* For the log and for programs: "not-listed". Stable. */
const char *reason_code(enum reason reason);

/* 403, 400, ...; 0 where no answer can be sent any more. */
unsigned reason_http_status(enum reason reason);

/* "http_request_denied"; NULL where RFC 9209 has none. */
const char *reason_proxy_status(enum reason reason);

/* A whole sentence in plain ASCII, with nothing of the request in it. */
const char *reason_sentence(enum reason reason);
