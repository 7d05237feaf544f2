/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/config.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static int parse(const char *text, struct config **ret, struct error *err)
{
	_cleanup_free_ char *copy = copy_of(text, strlen(text));
	return config_parse("config.json", copy, strlen(text), ret, err);
}

static struct config *good(const char *text)
{
	struct config *config = NULL;
	struct error err = { 0 };
	if (parse(text, &config, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return config;
}

static void test_nothing(void **state)
{
	(void) state;
	static const char *const texts[] = {
		"{}",
		"{\"process\":null,\"linux\":null,\"annotations\":null}",
		"{\"process\":{\"env\":null},\"linux\":{\"namespaces\":null,\"seccomp\":null},\"annotations\":{}}",
		"{\"process\":{\"env\":[\"XOCI_EGRESS_POLICY=a\",\"OCI_EGRESS_POLICY\",\"\",\"=\"]},"
		"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]},\"annotations\":{\"run.oci."
		"seccomp\":\"\"}}",
		"{\"linux\":{\"netDevices\":null}}",
		"{\"linux\":{\"netDevices\":{}},\"netDevices\":{\"eth0\":{}}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct config *config = good(texts[i]);
		assert_false(config->has_network_namespace);
		assert_false(config->has_net_devices);
		assert_false(config->has_seccomp);
		assert_null(config->policy_env);
		assert_null(config->unsafe_annotation);
		config_free(config);
	}
	config_free(NULL);
}

static void test_all(void **state)
{
	(void) state;
	struct config *config =
		good("{\"x\":[1e999,18446744073709551616],\"annotations\":{\"a\":\"b\",\"run.oci.hooks.stdout\":\"/x\","
		     "\"run.oci.handler\":\"krun\"},"
		     "\"process\":{\"env\":[\"OCI_EGRESS_POLICY=one\",\"A=b\",\"OCI_EGRESS_POLICY=two=2\"]},"
		     "\"linux\":{\"seccomp\":{},\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\",\"path\":\"/"
		     "p\"}]}}");
	assert_true(config->has_network_namespace);
	assert_true(config->has_seccomp);
	assert_string_equal(config->policy_env, "two=2");
	assert_string_equal(config->unsafe_annotation, "run.oci.hooks.stdout");
	config_free(config);
}

/* runtime-spec 1.3, config-linux.md, "Network Devices": names of the host's, each with what it is to be called. */
static void test_net_devices(void **state)
{
	(void) state;
	static const char *const texts[] = {
		"{\"linux\":{\"netDevices\":{\"eth0\":{\"name\":\"container_eth0\"},\"eth1\":{}}}}",
		"{\"linux\":{\"net\\u0044evices\":{\"\":{}}}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct config *config = good(texts[i]);
		assert_true(config->has_net_devices);
		config_free(config);
	}
}

/* Whatever set, and however a runtime spells it. */
static void test_admin_capability(void **state)
{
	(void) state;
	static const struct {
		const char *capabilities, *admin;
	} rows[] = {
		{ "{}", NULL },
		{ "null", NULL },
		{ "{\"bounding\":[\"CAP_NET_RAW\",\"CAP_NET_ADMINX\",\"\"],\"effective\":[]}", NULL },
		{ "{\"bounding\":[\"CAP_CHOWN\",\"CAP_NET_ADMIN\"]}", "CAP_NET_ADMIN" },
		{ "{\"effective\":[\"CAP_SYS_ADMIN\"]}", "CAP_SYS_ADMIN" },
		{ "{\"permitted\":[\"cap_net_admin\"]}", "CAP_NET_ADMIN" },
		{ "{\"inheritable\":[\"NET_ADMIN\"]}", "CAP_NET_ADMIN" },
		{ "{\"ambient\":[\"12\"]}", "CAP_NET_ADMIN" },
		{ "{\"ambient\":[\"sys_admin\"],\"bounding\":null}", "CAP_SYS_ADMIN" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		(void) snprintf(text, sizeof(text), "{\"process\":{\"capabilities\":%s}}", rows[i].capabilities);
		struct config *config = good(text);
		if (rows[i].admin)
			assert_string_equal(config->admin_capability, rows[i].admin);
		else
			assert_null(config->admin_capability);
		config_free(config);
	}
}

static void test_network_path(void **state)
{
	(void) state;
	static const struct {
		const char *namespaces;
		bool path, user;
	} rows[] = {
		{ "[{\"type\":\"network\"},{\"type\":\"pid\",\"path\":\"/x\"}]", false, false },
		{ "[{\"path\":\"\",\"type\":\"network\"}]", false, false },
		{ "[{\"path\":\"/run/netns/x\",\"type\":\"network\"}]", true, false },
		{ "[{\"type\":\"user\"},{\"type\":\"network\"},{\"type\":\"pid\"}]", false, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		(void) snprintf(text, sizeof(text), "{\"linux\":{\"namespaces\":%s}}", rows[i].namespaces);
		struct config *config = good(text);
		assert_true(config->has_network_namespace);
		assert_int_equal(config->has_network_path, rows[i].path);
		assert_int_equal(config->has_user_namespace, rows[i].user);
		config_free(config);
	}
}

static void test_bad(void **state)
{
	(void) state;
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "{\"process\":{\"env\":[\"A=b\",1]}}",
			"config.json:1:26: process.env[1]: is a number, expected a string" },
		{ "{\"process\":{\"env\":{}}}",
			"config.json:1:19: process.env: is an object, expected an array of strings" },
		{ "{\"process\":[]}", "config.json:1:12: process: is an array, expected an object" },
		{ "{\"linux\":{\"seccomp\":true}}",
			"config.json:1:21: linux.seccomp: is a boolean, expected an object" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"network\"},\n{\"type\":\"net\\u0077ork\"}]}}",
			"config.json:2:9: linux.namespaces[1].type: is \"network\" a second time, expected one network "
			"namespace" },
		{ "{\"linux\":{\"namespaces\":[\"network\"]}}",
			"config.json:1:25: linux.namespaces[0]: is a string, expected an object" },
		{ "{\"linux\":{\"namespaces\":[{\"path\":\"/p\"}]}}",
			"config.json:1:25: linux.namespaces[0]: type: is missing, expected a string" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":1}]}}",
			"config.json:1:33: linux.namespaces[0].type: is a number, expected a string" },
		{ "{\"linux\":{\"netDevices\":[\"eth0\"]}}",
			"config.json:1:24: linux.netDevices: is an array, expected an object of objects" },
		{ "{\"linux\":{\"netDevices\":{\"eth0\":\"eth0\"}}}",
			"config.json:1:32: linux.netDevices.eth0: is a string, expected an object" },
		/* what runc's reader would take for it */
		{ "{\"hooks\":{},\"Hooks\":null}",
			"config.json:1:21: Hooks: is \"hooks\" to some runtimes, and to others not; write it so" },
		{ "{\"hooks\":{\"CreateRuntime\":[]}}", "config.json:1:27: hooks.CreateRuntime: is \"createRuntime\" "
							"to some runtimes, and to others not; "
							"write it so" },
		{ "{\"linux\":{\"\u017feccomp\":null}}",
			"config.json:1:22: linux.\\xc5\\xbfeccomp: is \"seccomp\" to some "
			"runtimes, and to others not; write it so" },
		{ "{\"process\":{\"ENV\":[]}}",
			"config.json:1:19: process.ENV: is \"env\" to some runtimes, and to others not; write it so" },
		{ "{\"Annotations\":{}}", "config.json:1:16: Annotations: is \"annotations\" to some runtimes, and to "
					  "others not; write it so" },
		{ "{\"annotations\":{\"OCI-egress.polcy\":\"p\"}}",
			"config.json:1:17: annotations.OCI-egress.polcy: unknown key, expected one of: "
			"oci-egress.policy" },
		{ "{\"linux\":{},\"linux\":{}}", "config.json:1:13: linux: is there twice, expected once" },
		{ "{\"annotations\":{\"run.oci.handler\":null}}",
			"config.json:1:35: annotations.run.oci.handler: is null, expected a string" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct config *config = NULL;
		struct error err = { 0 };
		assert_int_equal(parse(rows[i].text, &config, &err), -EINVAL);
		assert_null(config);
		assert_message(&err, rows[i].message);
	}
}

static void test_annotations(void **state)
{
	(void) state;
	static const char *const unsafe[] = { "run.oci.seccomp_bpf_data", "run.oci.seccomp.receiver",
		"run.oci.seccomp.plugins", "run.oci.handler", "run.oci.hooks.stdout", "run.oci.hooks.stderr" };
	static const char *const safe[] = { "", "run.oci.seccomp_fail_unknown_syscall", "run.oci.handlers",
		"run.oci.hooks", "run.oci.systemd.subgroup", "oci-egress.policy", "xrun.oci.handler" };
	for (size_t i = 0; i < ARRAY_SIZE(unsafe); i++)
		assert_true(config_annotation_unsafe(unsafe[i]));
	for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
		assert_false(config_annotation_unsafe(safe[i]));
}

/* A variable of a mebibyte and a profile of a hundred thousand rules are strange, and fine. */
static void test_large(void **state)
{
	(void) state;
	static const char rule[] = "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},";
	size_t n_rules = 100000, value = 1 << 20, at = 0;
	_cleanup_free_ char *text = malloc(n_rules * sizeof(rule) + value + 1000);
	at += strlen(strcpy(text, "{\"process\":{\"env\":[\"OCI_EGRESS_POLICY="));
	memset(text + at, 'v', value);
	at += value;
	at += strlen(strcpy(text + at, "\"]},\"linux\":{\"seccomp\":{\"syscalls\":["));
	for (size_t i = 0; i < n_rules; i++) {
		memcpy(text + at, rule, strlen(rule));
		at += strlen(rule);
	}
	strcpy(text + at, "{}]}}}");
	struct config *config = good(text);
	assert_true(config->has_seccomp);
	assert_int_equal(strlen(config->policy_env), value);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_net_devices),
		cmocka_unit_test(test_admin_capability),
		cmocka_unit_test(test_network_path),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_annotations),
		cmocka_unit_test(test_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
