/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as they come, and as they are passed on. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "proxy/http_forward.h"
#include "tests/base/guard.h"

#define URL "http://a.example/p"
#define VIA "Via: 1.1 oci-egress\r\n"
#define REQUEST(method, fields) method " " URL " HTTP/1.1\r\nHost: b\r\n" fields "\r\n"
#define GET(fields) REQUEST("GET", fields)
#define POST(fields) REQUEST("POST", fields)
#define SENT(method, target, fields) method " " target " HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"

static char out[GUARD_SIZE + HTTP_FORWARD_MORE];

/* What is sent of a request; else why it is not. */
static const char *forward(const char *bytes, enum reason *ret_reason)
{
	struct http_head head;
	struct http_request request;
	const char *problem = NULL, *buf = guarded(bytes, strlen(bytes));
	http_head_init(&head);
	assert_int_equal(http_head_parse(&head, buf, strlen(bytes), GUARD_SIZE), PARSE_DONE);
	*ret_reason = http_request_read(&head, buf, &request, &problem);
	assert_int_equal(*ret_reason == REASON_BAD_REQUEST, problem != NULL);
	struct text text = text_init(out, sizeof(out));
	if (*ret_reason == REASON_NONE)
		http_forward_request(&text, &head, buf, &request);
	assert_false(text.cut);
	return out;
}

struct pair {
	const char *in, *out;
};

static void check_requests(const struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum reason reason;
		assert_string_equal(forward(pairs[i].in, &reason), pairs[i].out);
		assert_int_equal(reason, REASON_NONE);
	}
}

static void test_targets(void **state)
{
	(void) state;
	static const struct pair pairs[] = {
		{ GET(""), SENT("GET", "/p", VIA) },
		{ "GET http://A.example. HTTP/1.1\r\nHost:\r\n\r\n", SENT("GET", "/", VIA) },
		{ "GET HtTp://a.example:80?q HTTP/1.1\r\nHost: a.example\r\n\r\n", SENT("GET", "/?q", VIA) },
		{ "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", SENT("OPTIONS", "*", VIA) },
		{ "OPTIONS http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", SENT("OPTIONS", "/", VIA) },
		{ "GET http://a.example:8080/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n",
			"GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\n" VIA "\r\n" },
		{ "GET http://[2001:DB8::1]/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n" VIA "\r\n" },
		{ "GET http://a.example/ HTTP/1.0\r\n\r\n",
			SENT("GET", "/", "Via: 1.0 oci-egress\r\nConnection: close\r\n") },
	};
	check_requests(pairs, ARRAY_SIZE(pairs));
}

static void test_fields(void **state)
{
	(void) state;
	static const struct pair pairs[] = {
		{ GET("A:1\r\nB: \t2 3\t\r\n"), SENT("GET", "/p", "A: 1\r\nB: 2 3\r\n" VIA) },
		{ GET("Connection: a, close ,\r\nconnection: TE\r\nA: 1\r\nB: 2\r\nTE: x\r\n"),
			SENT("GET", "/p", "B: 2\r\n" VIA "Connection: close\r\n") },
		{ GET("Connection: via, host, content-length, max-forwards\r\nVia: 1.1 x\r\nMax-Forwards: 0\r\n"),
			SENT("GET", "/p", "Via: 1.1 x\r\nMax-Forwards: 0\r\n" VIA) },
		{ GET("Proxy-X: 1\r\nPROXY-authorization: 2\r\nKeep-Alive: 3\r\nTrailer: 4\r\nUpgrade: 5\r\nProxy: "
		      "6\r\n"),
			SENT("GET", "/p", "Proxy: 6\r\n" VIA) },
		{ POST("Content-Length: 05\r\n"), SENT("POST", "/p", "Content-Length: 5\r\n" VIA) },
		{ POST("Content-Length: 9223372036854775807\r\n"),
			SENT("POST", "/p", "Content-Length: 9223372036854775807\r\n" VIA) },
		{ POST("Transfer-Encoding: cHunked\r\n"), SENT("POST", "/p", "Transfer-Encoding: chunked\r\n" VIA) },
		{ POST("Content-Length: 1\r\nExpect: 100-Continue\r\n"),
			SENT("POST", "/p", "Content-Length: 1\r\nExpect: 100-continue\r\n" VIA) },
		{ GET("Expect: 100-continue\r\n"), SENT("GET", "/p", VIA) },
		{ POST("Content-Length: 0\r\nExpect: 100-continue\r\n"),
			SENT("POST", "/p", "Content-Length: 0\r\n" VIA) },
		{ POST("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"),
			SENT("POST", "/p", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n" VIA) },
		{ GET("Upgrade: WebSocket\r\nConnection: Upgrade\r\n"),
			SENT("GET", "/p", VIA "Connection: upgrade\r\nUpgrade: websocket\r\n") },
		{ GET("Upgrade: websocket\r\n"), SENT("GET", "/p", VIA) },
		{ GET("Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n"), SENT("GET", "/p", VIA) },
		{ POST("Upgrade: websocket\r\nConnection: Upgrade\r\n"), SENT("POST", "/p", VIA) },
		{ GET("Via: 1.1 oci-egress-2, 1.1 x (oci-egress)\r\n"),
			SENT("GET", "/p", "Via: 1.1 oci-egress-2, 1.1 x (oci-egress)\r\n" VIA) },
		{ REQUEST("OPTIONS", "Max-Forwards: 010\r\n"), SENT("OPTIONS", "/p", "Max-Forwards: 9\r\n" VIA) },
	};
	check_requests(pairs, ARRAY_SIZE(pairs));
}

static void test_refused(void **state)
{
	(void) state;
	static const struct {
		const char *in;
		enum reason reason;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http:/a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http:///a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http://a.example/#f HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http://a.example:/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET http://a.example\\.b/ HTTP/1.1\r\nHost: a.example\r\n\r\n", REASON_BAD_REQUEST },
		{ "GET " URL " HTTP/1.1\r\n\r\n", REASON_BAD_REQUEST },
		{ GET("Host: b\r\n"), REASON_BAD_REQUEST },
		{ "GET " URL " HTTP/1.1\r\nHost: a/\r\n\r\n", REASON_BAD_REQUEST },
		{ POST("Content-Length: 5\r\nContent-Length: 5\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: 5, 5\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: +5\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: 5 5\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length:\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: 9223372036854775808\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: 00000000000000000000\r\n"), REASON_BAD_REQUEST },
		{ POST("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), REASON_BAD_REQUEST },
		{ POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), REASON_BAD_REQUEST },
		{ POST("Transfer-Encoding: chunked,\r\n"), REASON_BAD_REQUEST },
		{ POST("Transfer-Encoding: gzip, chunked\r\n"), REASON_BAD_REQUEST },
		{ POST("Transfer-Encoding:\r\n"), REASON_BAD_REQUEST },
		{ "POST " URL " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", REASON_BAD_REQUEST },
		{ GET("Connection: a b\r\n"), REASON_BAD_REQUEST },
		{ GET("Connection: 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,"
		      "31,32,33\r\n"),
			REASON_BAD_REQUEST },
		{ REQUEST("OPTIONS", "Max-Forwards: -1\r\n"), REASON_BAD_REQUEST },
		{ REQUEST("OPTIONS", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n"), REASON_BAD_REQUEST },
		{ REQUEST("OPTIONS", "Max-Forwards: 1000000000\r\n"), REASON_BAD_REQUEST },
		{ REQUEST("TRACE", ""), REASON_METHOD_NOT_ALLOWED },
		{ GET("Via: 1.1 oci-egress\r\n"), REASON_LOOP },
		{ GET("Via: 1.1 x , HTTP/1.1\tOCI-egress(y)\r\n"), REASON_LOOP },
		{ GET("Expect: 100-continue, x\r\n"), REASON_EXPECTATION },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum reason reason;
		(void) forward(rows[i].in, &reason);
		assert_int_equal(reason, rows[i].reason);
	}
}

enum { TO_HEAD = 1, TO_WEBSOCKET = 2 };

static const char *respond(const char *bytes, int asked, struct http_response *ret)
{
	struct http_head head;
	const char *buf = guarded(bytes, strlen(bytes));
	http_head_init_response(&head);
	if (http_head_parse(&head, buf, strlen(bytes), GUARD_SIZE) != PARSE_DONE ||
		http_response_read(&head, buf, asked & TO_HEAD, asked & TO_WEBSOCKET, ret))
		return NULL;
	struct text text = text_init(out, sizeof(out));
	http_forward_response(&text, &head, buf, ret, ret->framing, !ret->keeps);
	assert_false(text.cut);
	return out;
}

static void test_responses(void **state)
{
	(void) state;
	static const struct {
		const char *in;
		int asked;
		const char *out;
		enum http_framing framing;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA:1\r\n\r\n", 0,
			"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\n" VIA "\r\n", HTTP_LENGTH },
		{ "HTTP/1.7 200\r\nTransfer-Encoding: CHUNKED\r\n\r\n", 0,
			"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n" VIA "\r\n", HTTP_CHUNKED },
		{ "HTTP/1.0 200 \r\n\r\n", 0, "HTTP/1.1 200 \r\nVia: 1.0 oci-egress\r\nConnection: close\r\n\r\n",
			HTTP_UNTIL_CLOSE },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", TO_HEAD,
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" VIA "\r\n", HTTP_NO_CONTENT },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TO_HEAD, "HTTP/1.1 200 OK\r\n" VIA "\r\n",
			HTTP_NO_CONTENT },
		{ "HTTP/1.1 204 N\r\nContent-Length: 2\r\n\r\n", 0, "HTTP/1.1 204 N\r\n" VIA "\r\n", HTTP_NO_CONTENT },
		{ "HTTP/1.1 103 E\r\nContent-Length: 2\r\nLink: x\r\n\r\n", 0,
			"HTTP/1.1 103 E\r\nLink: x\r\n" VIA "\r\n", HTTP_NO_CONTENT },
		{ "HTTP/1.1 101 S\r\nUpgrade: Websocket\r\nConnection: x, upgrade\r\n\r\n", TO_WEBSOCKET,
			"HTTP/1.1 101 S\r\n" VIA "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP_NO_CONTENT },
		{ "HTTP/1.1 999 X\x80\t\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n", 0,
			"HTTP/1.1 999 X\x80\t\r\nContent-Length: 0\r\n" VIA "\r\n", HTTP_LENGTH },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_response response;
		const char *sent = respond(rows[i].in, rows[i].asked, &response);
		assert_non_null(sent);
		assert_string_equal(sent, rows[i].out);
		assert_int_equal(response.framing, rows[i].framing);
	}
}

static void test_bad_responses(void **state)
{
	(void) state;
	static const char *const rows[] = {
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 020 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 200 O\rK\r\n\r\n",
		"HTTP/1.1 200\nA: b\r\n\r\n",
		"http/1.1 200 OK\r\n\r\n",
		"\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 304 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: (\r\n\r\n",
		"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
	};
	struct http_response response;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_null(respond(rows[i], 0, &response));
	assert_null(respond("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", TO_WEBSOCKET, &response));
	assert_null(respond("HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", TO_WEBSOCKET, &response));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_bad_responses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
