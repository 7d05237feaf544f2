/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a refusal, and that the line it names does what it promises. */
#include "proxy/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "oci/policy.h"
#include "proxy/filter.h"

static struct image *compile(const char *text)
{
	struct image *image = NULL;
	struct error err;
	if (policy_compile("FILE", "web", text, strlen(text), IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return image;
}

static struct host parse(const char *authority, uint16_t *port)
{
	struct host host;
	assert_null(host_parse_authority(authority, strlen(authority), true, &host, port));
	return host;
}

static enum reason decide(const struct image *image, const char *authority)
{
	uint16_t port;
	struct host host = parse(authority, &port);
	enum reason reason = filter_decide(image, &host, port).reason;
	if (reason == REASON_ALLOWED && host.kind == HOST_ADDRESS)
		reason = filter_check_address(image, &host.address, NULL);
	return reason;
}

/* A policy, what is asked for, what the fix must be, and the policy with it: where that is NULL the fix is a whole one.
 */
static void test_the_line_allows_it(void **state)
{
	(void) state;
	static const struct {
		const char *policy, *authority, *fix, *with;
		enum reason reason;
	} rows[] = {
		{ "{}", "evil.test:443", "{\"allow\":[\"evil.test\"]}", NULL, REASON_NOT_LISTED },
		{ "{}", "EVIL.Test.:443", "{\"allow\":[\"evil.test\"]}", NULL, REASON_NOT_LISTED },
		{ "{}", "evil.test:22", "{\"allow\":[\"evil.test:22\"]}", NULL, REASON_NOT_LISTED },
		{ "{\"ports\":[22]}", "evil.test:22", "{\"allow\":[\"evil.test\"]}",
			"{\"ports\":[22],\"allow\":[\"evil.test\"]}", REASON_NOT_LISTED },
		{ "{\"allow\":[\"*.a.test\"]}", "b.a.test:8443", "{\"allow\":[\"b.a.test:8443\"]}",
			"{\"allow\":[\"b.a.test:8443\"]}", REASON_PORT_NOT_LISTED },
		{ "{}", "[2600:DB8::1]:443", "{\"allow\":[\"[2600:db8::1]\"]}", NULL, REASON_NOT_LISTED },
		{ "{}", "[2600:db8::1]:8443", "{\"allow\":[\"[2600:db8::1]:8443\"]}", NULL, REASON_NOT_LISTED },
		{ "{}", "10.1.2.3:80", "{\"allow\":[\"10.1.2.3\"],\"networks\":[\"10.1.2.3/32\"]}", NULL,
			REASON_NOT_LISTED },
		{ "{\"networks\":[\"10.0.0.0/8\"]}", "10.1.2.3:80", "{\"allow\":[\"10.1.2.3\"]}",
			"{\"allow\":[\"10.1.2.3\"],\"networks\":[\"10.0.0.0/8\"]}", REASON_NOT_LISTED },
		{ "{}", "[fd00::1]:80", "{\"allow\":[\"[fd00::1]\"],\"networks\":[\"fd00::1/128\"]}", NULL,
			REASON_NOT_LISTED },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ struct image *image = compile(rows[i].policy);
		_cleanup_free_ struct image *with = compile(rows[i].with ? rows[i].with : rows[i].fix);
		assert_int_equal(decide(image, rows[i].authority), rows[i].reason);
		assert_int_equal(decide(with, rows[i].authority), REASON_ALLOWED);

		uint16_t port;
		struct host host = parse(rows[i].authority, &port);
		const struct refusal refusal = {
			.reason = rows[i].reason, .host = &host, .port = port, .image = image
		};
		char buf[REFUSAL_TEXT_MAX];
		struct text text = text_init(buf, sizeof(buf));
		assert_true(refusal_add_fix(&text, &refusal));
		assert_string_equal(buf, rows[i].fix);
	}
}

/* What a name resolved to is said only where it was given: the log's reader may know it, the client must not. */
static void test_what_a_name_resolved_to(void **state)
{
	(void) state;
	_cleanup_free_ struct image *image = compile("{\"allow\":[\"intranet.test\"]}");
	uint16_t port;
	struct host host = parse("intranet.test:443", &port);
	struct address address;
	assert_true(address_parse4("10.1.2.3", 8, &address));
	struct refusal refusal = { .reason = REASON_ADDRESS_FORBIDDEN, .host = &host, .port = port, .image = image };
	char buf[REFUSAL_TEXT_MAX];
	struct text text = text_init(buf, sizeof(buf));
	assert_false(refusal_add_fix(&text, &refusal));
	assert_false(refusal_add_advice(&text, &refusal));
	refusal_add_json(&text, &refusal);
	assert_null(strstr(buf, "10.1.2.3"));
	assert_null(strstr(buf, "fix"));

	refusal.forbidden = &address;
	text = text_init(buf, sizeof(buf));
	assert_true(refusal_add_fix(&text, &refusal));
	assert_string_equal(buf, "{\"networks\":[\"10.1.2.3/32\"]}");

	/* no entry of networks could */
	assert_true(address_parse6("::ffff:10.1.2.3", 15, &address));
	assert_false(refusal_add_fix(&text, &refusal));
}

static void test_advice(void **state)
{
	(void) state;
	_cleanup_free_ struct image *image = compile("{\"allow\":[\"a.test\"],\"deny\":[\"*.A.test.\"]}");
	static const struct {
		const char *authority, *advice;
	} rows[] = {
		{ "evil.test:443", "To allow it: \"allow\": [\"evil.test\"] in policy \"web\"." },
		{ "a.test:1", "To allow it: \"allow\": [\"a.test:1\"] in policy \"web\"." },
		{ "b.a.test:443", "To allow it: take \"*.A.test.\" out of \"deny\" in policy \"web\"." },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint16_t port;
		struct host host = parse(rows[i].authority, &port);
		struct decision decision = filter_decide(image, &host, port);
		const struct refusal refusal = {
			.reason = decision.reason, .host = &host, .port = port, .image = image, .rule = decision.rule
		};
		char buf[REFUSAL_TEXT_MAX];
		struct text text = text_init(buf, sizeof(buf));
		assert_true(refusal_add_advice(&text, &refusal));
		assert_string_equal(buf, rows[i].advice);
	}
}

static void test_json(void **state)
{
	(void) state;
	_cleanup_free_ struct image *image = compile("{\"deny\":[\"*.evil.test\"]}");
	uint16_t port;
	struct host host = parse("a.evil.test:443", &port);
	struct decision decision = filter_decide(image, &host, port);
	struct refusal refusal = {
		.reason = decision.reason, .host = &host, .port = port, .image = image, .rule = decision.rule
	};
	char buf[REFUSAL_TEXT_MAX], expected[REFUSAL_TEXT_MAX], sentence[1024];
	struct text text = text_init(buf, sizeof(buf)), escaped = text_init(sentence, sizeof(sentence));
	refusal_add_json(&text, &refusal);
	text_add_json(&escaped, reason_sentence(REASON_DENIED), strlen(reason_sentence(REASON_DENIED)));
	(void) snprintf(expected, sizeof(expected),
		"{\"error\":\"denied\",\"message\":%s,\"host\":\"a.evil.test\",\"port\":443,\"policy\":\"web\","
		"\"rule\":\"*.evil.test\"}",
		sentence);
	assert_string_equal(buf, expected);

	/* nothing was understood: nothing is repeated */
	refusal = (struct refusal){ .reason = REASON_BAD_REQUEST, .problem = "It is \"bad\"." };
	text = text_init(buf, sizeof(buf));
	refusal_add_json(&text, &refusal);
	assert_non_null(strstr(buf, "{\"error\":\"bad-request\",\"message\":\""));
	assert_non_null(strstr(buf, "It is \\u0022bad\\u0022.\"}"));
	assert_false(text.cut);
}

/* The longest host, rule and name fit for every reason. */
static void test_the_longest_fits(void **state)
{
	(void) state;
	char name[HOST_NAME_MAX_LEN + 1], policy[600], authority[300];
	for (size_t i = 0; i < HOST_NAME_MAX_LEN; i++)
		name[i] = i % 64 == 63 ? '.' : 'a';
	name[HOST_NAME_MAX_LEN] = '\0';
	(void) snprintf(policy, sizeof(policy), "{\"deny\":[\"%s\"]}", name);
	(void) snprintf(authority, sizeof(authority), "%s:65535", name);
	_cleanup_free_ struct image *image = compile(policy);
	uint16_t port;
	struct host host = parse(authority, &port);
	struct decision decision = filter_decide(image, &host, port);
	assert_non_null(decision.rule);
	for (int i = 0; i < REASON_COUNT; i++) {
		const struct refusal refusal = {
			.reason = (enum reason) i, .host = &host, .port = port, .image = image, .rule = decision.rule
		};
		char buf[REFUSAL_TEXT_MAX];
		struct text text = text_init(buf, sizeof(buf));
		refusal_add_json(&text, &refusal);
		assert_false(text.cut);
		text = text_init(buf, sizeof(buf));
		refusal_add_sentence(&text, &refusal);
		(void) refusal_add_advice(&text, &refusal);
		assert_false(text.cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_line_allows_it),
		cmocka_unit_test(test_what_a_name_resolved_to),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_the_longest_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
