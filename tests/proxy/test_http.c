/* SPDX-License-Identifier: Apache-2.0 */
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
#include "proxy/http_answer.h"
#include "proxy/http_request.h"
#include "tests/base/guard.h"

#define HEAD_MAX 4000
#define LINE "CONNECT a.example:443 HTTP/1.1\r\n"
#define HOST "Host: a.example:443\r\n"

/* What a head comes to, parsed at once. */
struct outcome {
	enum parse_result result;
	enum reason reason;
	size_t len;
	struct host host;
	uint16_t port;
};

static struct outcome judge(const struct http_head *head, const char *buf, enum parse_result result)
{
	struct outcome outcome = { .result = result, .reason = head->reason, .len = head->len };
	const char *problem = NULL;
	struct http_request request;
	if (result == PARSE_DONE) {
		outcome.reason = http_request_read(head, buf, &request, &problem);
		assert_int_equal(outcome.reason == REASON_BAD_REQUEST, problem != NULL);
	}
	if (result == PARSE_DONE && outcome.reason == REASON_NONE) {
		assert_true(request.is_connect);
		outcome.host = request.host;
		outcome.port = request.port;
	}
	return outcome;
}

static struct outcome parse(const char *bytes, size_t len)
{
	struct http_head head;
	http_head_init(&head);
	const char *buf = guarded(bytes, len);
	return judge(&head, buf, http_head_parse(&head, buf, len, HEAD_MAX));
}

/* The same, byte by byte; every prefix must be MORE, up to the byte that decides. */
static struct outcome trickle(const char *bytes, size_t len)
{
	struct http_head head;
	http_head_init(&head);
	for (size_t n = 1; n <= len; n++) {
		const char *buf = guarded(bytes, n);
		enum parse_result result = http_head_parse(&head, buf, n, HEAD_MAX);
		if (result != PARSE_MORE)
			return judge(&head, buf, result);
		assert_int_equal(head.len, n);
	}
	return judge(&head, bytes, PARSE_MORE);
}

static struct outcome check(const char *text, size_t len)
{
	struct outcome at_once = parse(text, len), slowly = trickle(text, len);
	assert_int_equal(at_once.result, slowly.result);
	assert_int_equal(at_once.reason, slowly.reason);
	assert_int_equal(at_once.len, slowly.len);
	return at_once;
}

static const char *const tunnels[] = {
	LINE HOST "\r\n",
	LINE "host:a.example:443\r\n\r\n",
	LINE "HOST: \t A.Example.:443 \t\r\n\r\n",
	LINE "Host: a.example\r\n\r\n",
	"CONNECT a.example:443 HTTP/1.0\r\n\r\n",
	LINE HOST "Content-Length: 0\r\n\r\n",
	LINE HOST "Content-Length: 00\r\n\r\n",
	LINE HOST "X: \x80\xff\t~\r\nY:\r\n!#$%&'*+-.^_`|~0aZ: 1\r\n\r\n",
};

static void test_tunnels(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(tunnels); i++) {
		char text[512];
		int n = snprintf(text, sizeof(text), "%stunnel bytes", tunnels[i]);
		struct outcome outcome = check(text, (size_t) n);
		assert_int_equal(outcome.result, PARSE_DONE);
		assert_int_equal(outcome.reason, REASON_NONE);
		assert_int_equal(outcome.len, strlen(tunnels[i]));
		assert_string_equal(outcome.host.name, "a.example");
		assert_int_equal(outcome.port, 443);
	}
}

static void test_every_prefix_is_the_beginning_of_a_head(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(tunnels); i++)
		for (size_t len = 0; len < strlen(tunnels[i]); len++)
			assert_int_equal(parse(tunnels[i], len).result, PARSE_MORE);
}

/* Complete heads that ask for something that they must not have. */
static void test_refused_requests(void **state)
{
	(void) state;
	static const char *const heads[] = {
		LINE "\r\n",
		LINE HOST HOST "\r\n",
		LINE HOST "Host:\r\n\r\n",
		LINE "Host:\r\n\r\n",
		LINE "Host: b.example:443\r\n\r\n",
		LINE "Host: a.example:80\r\n\r\n",
		LINE "Host: a.example, b.example\r\n\r\n",
		LINE HOST "Content-Length: 5\r\n\r\n",
		LINE HOST "Content-Length: +0\r\n\r\n",
		LINE HOST "transfer-encoding: chunked\r\n\r\n",
		"CONNECT a.example HTTP/1.0\r\n\r\n",
		"CONNECT a.example: HTTP/1.0\r\n\r\n",
		"CONNECT a.example:0443 HTTP/1.0\r\n\r\n",
		"CONNECT a@a.example:443 HTTP/1.0\r\n\r\n",
		"CONNECT http://a.example:443 HTTP/1.0\r\n\r\n",
		"CONNECT / HTTP/1.0\r\n\r\n",
		"GET http://a.example/ HTTP/1.1\r\n\r\n",
		"GET http://a.example/ HTTP/1.1\r\nHost: a.example/\r\n\r\n",
		"connect a.example:443 HTTP/1.1\r\n" HOST "\r\n",
		"CONNECTS a.example:443 HTTP/1.1\r\n" HOST "\r\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct outcome outcome = check(heads[i], strlen(heads[i]));
		assert_int_equal(outcome.result, PARSE_DONE);
		assert_int_equal(outcome.reason, REASON_BAD_REQUEST);
		assert_int_equal(outcome.port, 0);
	}
}

/* The last byte makes it BAD: everything in front of it is MORE. */
static void test_bad_bytes(void **state)
{
	(void) state;
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
		ROW("\r"),
		ROW("\n"),
		ROW(" "),
		ROW("\0"),
		ROW("\x16"),
		ROW("\x05"),
		ROW("CONNECT\t"),
		ROW("CONNECT\r"),
		ROW("C("),
		ROW("CONNECT  "),
		ROW("CONNECT a\t"),
		ROW("CONNECT a\0"),
		ROW("CONNECT a\x7f"),
		ROW("CONNECT a\x80"),
		ROW("CONNECT a\r"),
		ROW("CONNECT a  "),
		ROW("CONNECT a b"),
		ROW("CONNECT a h"),
		ROW("CONNECT a HTTP/2"),
		ROW("CONNECT a HTTP/1,"),
		ROW("CONNECT a HTTP/1.2"),
		ROW("CONNECT a HTTP/1.10"),
		ROW("CONNECT a HTTP/1.1 "),
		ROW("CONNECT a HTTP/1.1\n"),
		ROW("CONNECT a HTTP/1.1\rX"),
		ROW(LINE " "),
		ROW(LINE "\t"),
		ROW(LINE "\n"),
		ROW(LINE ":"),
		ROW(LINE "A "),
		ROW(LINE "A\t"),
		ROW(LINE "A\r"),
		ROW(LINE "A\0"),
		ROW(LINE "A\x80"),
		ROW(LINE "A: \0"),
		ROW(LINE "A: \x01"),
		ROW(LINE "A: \x7f"),
		ROW(LINE "A: \n"),
		ROW(LINE "A: b\rc"),
		ROW(LINE "A: b\r\r"),
		ROW(LINE "A: b\r\n "),
		ROW(LINE HOST "\rX"),
		ROW(LINE HOST "\r\r"),
#undef ROW
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcome outcome = check(rows[i].bytes, rows[i].len);
		assert_int_equal(outcome.result, PARSE_BAD);
		assert_int_equal(outcome.reason, REASON_BAD_REQUEST);
		assert_int_equal(outcome.len, rows[i].len - 1);
		assert_int_equal(parse(rows[i].bytes, rows[i].len - 1).result, PARSE_MORE);
	}
}

static void test_limits(void **state)
{
	(void) state;
	char text[HEAD_MAX + 64];
	int n = snprintf(text, sizeof(text), LINE HOST "X: ");
	memset(text + n, 'x', sizeof(text) - (size_t) n);
	memcpy(text + HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(check(text, HEAD_MAX).reason, REASON_NONE);
	assert_int_equal(parse(text, HEAD_MAX - 1).result, PARSE_MORE);
	memcpy(text + HEAD_MAX - 4, "x\r\n\r\n", 5);
	struct outcome outcome = check(text, HEAD_MAX + 1);
	assert_int_equal(outcome.result, PARSE_BAD);
	assert_int_equal(outcome.reason, REASON_HEAD_TOO_LARGE);

	struct http_head head;
	http_head_init(&head);
	char line[HTTP_LINE_MAX + 8];
	memset(line, 'a', sizeof(line));
	assert_int_equal(http_head_parse(&head, line, HTTP_LINE_MAX, SIZE_MAX), PARSE_MORE);
	assert_int_equal(http_head_parse(&head, line, HTTP_LINE_MAX + 1, SIZE_MAX), PARSE_BAD);
	assert_int_equal(head.reason, REASON_HEAD_TOO_LARGE);
}

static void test_number_of_fields(void **state)
{
	(void) state;
	char text[HEAD_MAX];
	size_t len = (size_t) snprintf(text, sizeof(text), LINE HOST);
	for (int i = 1; i < HTTP_FIELDS_MAX; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "X:\r\n");
	(void) snprintf(text + len, sizeof(text) - len, "\r\n");
	assert_int_equal(check(text, len + 2).reason, REASON_NONE);
	(void) snprintf(text + len, sizeof(text) - len, "X:\r\n\r\n");
	assert_int_equal(check(text, len + 6).reason, REASON_HEAD_TOO_LARGE);
}

static const char problem[] = "A sentence about as long as the longest of the problems is here.";

static void check_answer(const char *buf, enum reason reason)
{
	char line[128];
	const char *body = strstr(buf, "\r\n\r\n");
	assert_non_null(body);
	(void) snprintf(line, sizeof(line), "\r\nContent-Length: %zu\r\n", strlen(body + 4));
	assert_non_null(strstr(buf, line));
	(void) snprintf(line, sizeof(line), "\r\nProxy-Status: oci-egress; error=%s; details=\"%s\"\r\n",
		reason_proxy_status(reason), reason_code(reason));
	assert_non_null(strstr(buf, line));
	assert_int_equal(strstr(buf, "\r\nAllow: GET, ") != NULL, reason == REASON_METHOD_NOT_ALLOWED);
	assert_null(strstr(buf, "  ")); /* a phrase was found */
}

static void test_answers(void **state)
{
	(void) state;
	for (int i = 0; i < REASON_COUNT; i++) {
		enum reason reason = (enum reason) i;
		const struct refusal refusal = { .reason = reason, .problem = problem };
		if (reason_http_status(reason) < 400)
			continue;
		char buf[HTTP_ANSWER_MAX];
		struct text text = text_init(buf, sizeof(buf));
		http_answer(&text, &refusal, (struct http_answer_to){ 0 });
		assert_false(text.cut);
		check_answer(buf, reason);
		assert_non_null(strstr(buf, "\r\nContent-Type: text/plain\r\n"));
		assert_non_null(strstr(buf, reason_sentence(reason)));
		assert_non_null(strstr(buf, problem));

		text = text_init(buf, sizeof(buf));
		http_answer(&text, &refusal, (struct http_answer_to){ .wants_json = true });
		assert_false(text.cut);
		check_answer(buf, reason);
		assert_non_null(strstr(buf, "\r\nContent-Type: application/json\r\n"));
		assert_non_null(strstr(buf, problem));
	}
}

/* The same head as to a GET, and not a byte behind it. */
static void test_answer_to_head(void **state)
{
	(void) state;
	const struct refusal refusal = { .reason = REASON_NOT_LISTED };
	char get[HTTP_ANSWER_MAX], head[HTTP_ANSWER_MAX];
	struct text text = text_init(get, sizeof(get));
	http_answer(&text, &refusal, (struct http_answer_to){ 0 });
	text = text_init(head, sizeof(head));
	http_answer(&text, &refusal, (struct http_answer_to){ .is_head = true });
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
	assert_memory_equal(get, head, strlen(head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_every_prefix_is_the_beginning_of_a_head),
		cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_number_of_fields),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answer_to_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
