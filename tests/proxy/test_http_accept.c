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
#include "proxy/http_accept.h"

static bool accepts(const char *fields)
{
	char buf[4096];
	int len = snprintf(buf, sizeof(buf), "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n%s\r\n", fields);
	static struct http_head head;
	http_head_init(&head);
	assert_int_equal(http_head_parse(&head, buf, (size_t) len, sizeof(buf)), PARSE_DONE);
	return http_accepts_json(&head, buf);
}

static void test_who_asks_for_it(void **state)
{
	(void) state;
	static const char *const rows[] = {
		"Accept: application/json\r\n", "aCCept:\tApplication/JSON ; charset=utf-8 \r\n",
		"Accept: application/json, text/plain, */*\r\n", /* as a much used client says it */
		"Accept: text/plain;q=0.5, application/json;q=0.5\r\n", "Accept: text/html;q=0.9, application/json\r\n",
		"Accept: application/json;q=0.001\r\n", "Accept: application/json;Q=1.000\r\n",
		"Accept: text/html;q=0.1\r\nX: y\r\nAccept: application/json;q=0.2\r\n",
		"Accept: ,, application/json,\r\n",
		"Accept: text/plain;q=2, application/json;q=0.1\r\n", /* a weight that is none counts as 0 */
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!accepts(rows[i]))
			fail_msg("%s", rows[i]);
}

static void test_who_does_not(void **state)
{
	(void) state;
	static const char *const rows[] = {
		"",
		"Accept:\r\n",
		"Accept: */*\r\n",
		"Accept: application/*\r\n",
		"Accept: application/json;q=0\r\n",
		"Accept: application/json;q=0.000\r\n",
		"Accept: application/json;q=1.001\r\n",
		"Accept: application/json;q=0.0001\r\n",
		"Accept: application/json;q=\r\n",
		"Accept: application/json;q=a\r\n",
		"Accept: application/json;q=.5\r\n",
		"Accept: application/json;q=-1\r\n",
		"Accept: application/jsonp, application/jso\r\n",
		"Accept: text/html, application/json;q=0.9\r\n",
		"Accept: text/*, application/json;q=0.9\r\n",
		"Accept-Encoding: application/json\r\n",
		"Accept: application/json;q=1;q=0\r\n",
		"Accept: ;;;, ;q=1,=;\r\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (accepts(rows[i]))
			fail_msg("%s", rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_asks_for_it),
		cmocka_unit_test(test_who_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
