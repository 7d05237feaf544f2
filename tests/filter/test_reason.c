/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

static bool is_token(const char *s)
{
	return s && *s && strspn(s, "abcdefghijklmnopqrstuvwxyz-") == strlen(s);
}

static void test_complete(void **state)
{
	(void) state;
	for (int i = 0; i < REASON_COUNT; i++) {
		enum reason reason = (enum reason) i;
		if (!is_token(reason_code(reason)))
			fail_msg("reason %d has no code", i);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(reason_code(reason), reason_code((enum reason) k));

		const char *sentence = reason_sentence(reason);
		assert_non_null(sentence);
		assert_int_equal(sentence[strlen(sentence) - 1], '.');
		for (const char *p = sentence; *p; p++)
			assert_in_range(*p, 0x20, 0x7e);
	}
}

/* RFC 9209 section 2.3: what it registers, and never with an answer that says all is well. */
static void test_proxy_status(void **state)
{
	(void) state;
	static const char *const registered[] = { "http_request_denied", "http_request_error",
		"destination_ip_prohibited", "destination_ip_unroutable", "dns_error", "dns_timeout",
		"connection_refused", "connection_timeout", "connection_limit_reached", "connection_terminated",
		"http_protocol_error", "http_response_header_section_size", "http_response_timeout",
		"proxy_internal_error", "proxy_loop_detected" };
	for (int i = 0; i < REASON_COUNT; i++) {
		unsigned http = reason_http_status((enum reason) i);
		const char *type = reason_proxy_status((enum reason) i);
		assert_true(http == 0 || http == 200 || (http >= 400 && http <= 599));
		assert_int_equal(type != NULL, http >= 400);
		bool known = !type;
		for (size_t k = 0; k < ARRAY_SIZE(registered) && !known; k++)
			known = strcmp(type, registered[k]) == 0;
		assert_true(known);
	}
}

static void test_statuses(void **state)
{
	(void) state;
	assert_int_equal(reason_http_status(REASON_NONE), 0);
	assert_int_equal(reason_http_status(REASON_ALLOWED), 200);
	for (int i = REASON_NOT_LISTED; i <= REASON_ADDRESS_FORBIDDEN; i++) {
		assert_int_equal(reason_http_status((enum reason) i), 403);
		assert_non_null(strstr(reason_sentence((enum reason) i), "policy"));
		assert_non_null(strstr(reason_sentence((enum reason) i), "will not help"));
	}
	assert_int_equal(reason_http_status(REASON_BAD_REQUEST), 400);
	assert_int_equal(reason_http_status(REASON_METHOD_NOT_ALLOWED), 405);
	assert_non_null(strstr(reason_sentence(REASON_METHOD_NOT_ALLOWED), "CONNECT"));
	for (int i = REASON_RESOLVE_FAILED; i <= REASON_CONNECT_TIMEOUT; i++) {
		unsigned http = reason_http_status((enum reason) i);
		assert_true(http == 502 || http == 504);
	}
	for (int i = REASON_CLIENT_RESET; i <= REASON_IDLE_TIMEOUT; i++)
		assert_int_equal(reason_http_status((enum reason) i), 0);
}

/* Numbers from shared memory may be anything. */
static void test_out_of_range(void **state)
{
	(void) state;
	static const unsigned strange[] = { REASON_COUNT, REASON_COUNT + 1, INT32_MAX, UINT32_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		enum reason reason;
		memcpy(&reason, &strange[i], sizeof(reason));
		assert_string_equal(reason_code(reason), "unknown");
		assert_int_equal(reason_http_status(reason), 500);
		assert_non_null(reason_sentence(reason));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_proxy_status),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_out_of_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
