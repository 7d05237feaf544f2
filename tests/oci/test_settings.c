/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static int parse(const char *text, struct settings *settings, struct error *err)
{
	_cleanup_free_ char *copy = copy_of(text, strlen(text));
	return settings_parse("F", copy, strlen(text), settings, err);
}

static void test_defaults(void **state)
{
	(void) state;
	struct settings s, before;
	struct error err = { 0 };
	settings_defaults(&s);
	settings_defaults(&before);
	assert_string_equal(s.policies, "/etc/oci-egress/policies");
	assert_string_equal(s.run, "/run/oci-egress");
	assert_string_equal(s.log, "/var/log/oci-egress");
	assert_string_equal(s.state, "/var/lib/oci-egress");
	assert_false(s.policy_from_env);
	assert_true(s.policy_from_annotation);
	assert_int_equal(s.on_failure, IMAGE_ON_FAILURE_OPEN);
	assert_int_equal(s.proxy.s_addr, inet_addr("198.18.0.2"));
	assert_int_equal(s.container.s_addr, inet_addr("198.18.0.3"));
	assert_int_equal(s.prefix, 31);
	assert_int_equal(s.port, 3128);
	assert_int_equal(parse("{} // as it is", &s, &err), 0);
	assert_memory_equal(&s, &before, sizeof(s));
}

static void test_all(void **state)
{
	(void) state;
	struct settings s;
	struct error err = { 0 };
	settings_defaults(&s);
	assert_int_equal(
		parse("{\"policies\":\"/p\",\"run\":\"/r\",\"log\":\"/l\",\"state\":\"/s\", /* all */ "
		      "\"policy_from_env\":true,\"policy_from_annotation\":false,\"on_failure\":\"closed\","
		      "\"network\":{\"proxy\":\"10.7.0.1\",\"container\":\"10.7.0.2\",\"prefix\":30,\"port\":65535}}",
			&s, &err),
		0);
	assert_string_equal(s.policies, "/p");
	assert_string_equal(s.run, "/r");
	assert_string_equal(s.log, "/l");
	assert_string_equal(s.state, "/s");
	assert_true(s.policy_from_env);
	assert_false(s.policy_from_annotation);
	assert_int_equal(s.on_failure, IMAGE_ON_FAILURE_CLOSED);
	assert_int_equal(s.proxy.s_addr, inet_addr("10.7.0.1"));
	assert_int_equal(s.container.s_addr, inet_addr("10.7.0.2"));
	assert_int_equal(s.prefix, 30);
	assert_int_equal(s.port, 65535);
}

static void test_bad(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "{\"polices\":\"/p\"}", "F:1:2: polices: unknown key, did you mean \"policies\"?" },
		{ "{\"run\":\"r\"}", "F:1:8: run: is \"r\", expected an absolute path of less than 4096 bytes" },
		{ "{\"run\":\"\"}", "F:1:8: run: is \"\", expected an absolute path of less than 4096 bytes" },
		{ "{\"policy_from_env\":\"true\"}", "F:1:20: policy_from_env: is a string, expected true or false" },
		{ "{\"on_failure\":\"Closed\"}", "F:1:15: on_failure: is \"Closed\", expected \"open\" or \"closed\"" },
		{ "{\"network\":{\"port\":0}}", "F:1:20: network.port: is 0, expected an integer from 1 to 65535" },
		{ "{\"network\":{\"prefix\":32}}", "F:1:22: network.prefix: is 32, expected an integer from 8 to 31" },
		{ "{\"network\":{\"proxy\":\"::1\"}}",
			"F:1:21: network.proxy: is \"::1\", expected a unicast IPv4 address" },
		{ "{\"network\":{\"proxy\":\"127.0.0.1\"}}",
			"F:1:21: network.proxy: is \"127.0.0.1\", expected a unicast IPv4 address" },
		{ "{\"network\":{\"proxy\":\"224.0.0.1\"}}",
			"F:1:21: network.proxy: is \"224.0.0.1\", expected a unicast IPv4 address" },
		{ "{\"network\":{\"proxy\":\"198.18.0.3\"}}",
			"F:1:12: network: proxy and container have one address, expected two" },
		{ "{\"network\":{\"proxy\":\"198.18.0.4\"}}",
			"F:1:12: network: proxy and container are not in one network of prefix 31" },
		{ "{\"network\":{\"prefix\":30}}", "F:1:12: network: the first or last address of a network of prefix "
						   "30, expected one between them" },
		{ "{\"network\":{\"gateway\":\"1.2.3.4\"}}",
			"F:1:13: network.gateway: unknown key, expected one of: proxy, container, prefix, port" },
		{ "{\"network\":null}", "F:1:12: network: is null, expected an object" },
	};
	struct settings s, before;
	settings_defaults(&before);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = { 0 };
		settings_defaults(&s);
		assert_int_equal(parse(rows[i].text, &s, &err), -EINVAL);
		assert_message(&err, rows[i].message);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void test_long_path(void **state)
{
	(void) state;
	char text[PATH_MAX + 100];
	for (int len = PATH_MAX - 1; len <= PATH_MAX; len++) {
		struct settings s;
		struct error err = { 0 };
		settings_defaults(&s);
		(void) snprintf(text, sizeof(text), "{\"log\":\"/%0*d\"}", len - 1, 0);
		assert_int_equal(parse(text, &s, &err), len < PATH_MAX ? 0 : -EINVAL);
		assert_int_equal(strlen(s.log), len < PATH_MAX ? PATH_MAX - 1 : strlen("/var/log/oci-egress"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
