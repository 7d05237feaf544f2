/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bouquet.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "oci/policy.h"

#define JAVA "-Dhttp.proxyHost=198.18.0.2 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=198.18.0.2 -Dhttps.proxyPort=3128"
#define DIRECT "localhost,127.0.0.1,127.0.0.0/8,::1"

static struct bouquet bouquet;

static const char *value_of(const char *name)
{
	const char *found = NULL;
	size_t len = strlen(name);
	for (size_t i = 0; i < bouquet.n; i++) {
		const char *text = bouquet_text(&bouquet, i);
		if (strncmp(text, name, len) == 0 && text[len] == '=') {
			assert_null(found); /* once */
			found = text + len + 1;
		}
	}
	return found;
}

static void make(const char *policy)
{
	_cleanup_free_ struct image *image = NULL;
	struct error err = { 0 };
	struct in_addr addr = { htonl(0xc6120002) };
	if (policy && policy_compile("F", "p", policy, strlen(policy), IMAGE_ON_FAILURE_OPEN, &image, &err) < 0)
		fail_msg("%s", err.msg);
	bouquet_make(image, addr, 3128, &bouquet);
}

/* -- the table */

static void test_table(void **state)
{
	(void) state;
	const struct bouquet_row *before = NULL;
	for (const struct bouquet_row *row = bouquet_rows; row->name; before = row++) {
		assert_ptr_equal(bouquet_row(row->name, strlen(row->name)), row); /* the first, and so the only one */
		assert_true(strlen(row->name) <= BOUQUET_NAME_MAX && !strchr(row->name, '='));
		assert_true(row->profile == IMAGE_PROFILE_PROXY || row->profile == IMAGE_PROFILE_FULL);
		assert_true(row->clients && row->clients[0] != '\0');
		assert_true(row->documented &&
			    (strncmp(row->documented, "https://", 8) == 0 || strchr(row->documented, '(')));
		if (!before)
			continue;
		assert_true(before->kind <= row->kind);
		if (before->kind == row->kind)
			assert_true(before->profile <= row->profile);
	}
	assert_null(bouquet_row("http_prox", 9));
	assert_null(bouquet_row("", 0));
}

/* What breaks clients, or their checks; and what never did anything. */
static void test_never(void **state)
{
	(void) state;
	static const char *const never[] = { "YARN_NO_PROXY", "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY",
		"GIT_SSL_NO_VERIFY", "NODE_OPTIONS", "rsync_proxy" };
	make("{\"environment\":{\"profile\":\"full\"}}");
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		assert_null(bouquet_row(never[i], strlen(never[i])));
		assert_false(bouquet_replaces(&bouquet, never[i]));
	}
}

static void test_may_stay(void **state)
{
	(void) state;
	for (const struct bouquet_row *row = bouquet_rows; row->name; row++) {
		make("{\"environment\":{\"profile\":\"full\"}}");
		const char *value = value_of(row->name);
		bool has_address = value && strstr(value, "198.18.0.2") && row->value != BOUQUET_JAVA;
		bool is_another = !value && row->kind == BOUQUET_PROXY;
		assert_int_equal(bouquet_row_may_stay(row), !has_address && !is_another);
	}
}

/* -- what is made of it */

static void assert_proxy(const char *all)
{
	static const char *const proxies[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY" };
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		assert_string_equal(value_of(proxies[i]), "http://198.18.0.2:3128");
	assert_string_equal(value_of("all_proxy"), all);
	assert_string_equal(value_of("ALL_PROXY"), all);
	assert_string_equal(value_of("no_proxy"), DIRECT);
	assert_string_equal(value_of("NO_PROXY"), DIRECT);
	assert_string_equal(value_of("NODE_USE_ENV_PROXY"), "1");
	assert_string_equal(value_of("OCI_EGRESS"), "1");
	assert_null(value_of("SSLKEYLOGFILE"));
	assert_true(bouquet_replaces(&bouquet, "SSLKEYLOGFILE=/keys"));
	assert_null(bouquet_find(&bouquet, "SSLKEYLOGFILE=/keys"));
	assert_true(bouquet_replaces(&bouquet, "FTP_PROXY=http://user:secret@old:1"));
}

static void test_default(void **state)
{
	(void) state;
	static const char *const policies[] = { NULL, "{}", "{\"environment\":{}}",
		"{\"environment\":{\"profile\":\"proxy\"}}" };
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		make(policies[i]);
		assert_proxy("http://198.18.0.2:3128");
		assert_int_equal(bouquet.n, 10);
		assert_int_equal(bouquet.n_out, 3);
	}
	make("{\"all_proxy\":\"socks5h\"}");
	assert_proxy("socks5h://198.18.0.2:3128");
}

static void test_full(void **state)
{
	(void) state;
	static const char *const urls[] = { "ws_proxy", "wss_proxy", "grpc_proxy", "CGI_HTTP_PROXY",
		"GLOBAL_AGENT_HTTP_PROXY", "GLOBAL_AGENT_HTTPS_PROXY", "npm_config_proxy", "npm_config_https_proxy",
		"YARN_HTTP_PROXY", "YARN_HTTPS_PROXY" };
	static const char *const direct[] = { "no_grpc_proxy", "GLOBAL_AGENT_NO_PROXY", "npm_config_noproxy" };
	static const char *const out[] = { "CLOUDSDK_PROXY_TYPE", "CLOUDSDK_PROXY_ADDRESS", "CLOUDSDK_PROXY_PORT",
		"CLOUDSDK_PROXY_USERNAME", "CLOUDSDK_PROXY_PASSWORD" };
	make("{\"environment\":{\"profile\":\"full\"}}");
	assert_proxy("http://198.18.0.2:3128");
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		assert_string_equal(value_of(urls[i]), "http://198.18.0.2:3128");
	for (size_t i = 0; i < ARRAY_SIZE(direct); i++)
		assert_string_equal(value_of(direct[i]), DIRECT);
	for (size_t i = 0; i < ARRAY_SIZE(out); i++) {
		assert_null(value_of(out[i]));
		assert_true(bouquet_replaces(&bouquet, out[i]));
	}
	assert_string_equal(value_of("RSYNC_PROXY"), "198.18.0.2:3128");
	assert_string_equal(value_of("ELECTRON_GET_USE_PROXY"), "true");
	assert_string_equal(value_of("PERL_LWP_ENV_PROXY"), "1");
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), JAVA);
	assert_int_equal(bouquet.n, 27);
}

static void test_none(void **state)
{
	(void) state;
	make("{\"environment\":{\"profile\":\"none\"}}");
	assert_int_equal(bouquet.n + bouquet.n_out, 0);
	make("{\"environment\":{\"profile\":\"none\",\"set\":{\"A\":\"b\"}}}");
	assert_int_equal(bouquet.n + bouquet.n_out, 1);
	assert_string_equal(value_of("A"), "b");
}

static void test_set_and_keep(void **state)
{
	(void) state;
	make("{\"environment\":{\"profile\":\"full\",\"set\":{\"A\":\"b "
	     "c=d\",\"https_proxy\":\"\",\"JAVA_TOOL_OPTIONS\":\"-Dx\","
	     "\"FTP_PROXY\":\"f\"},\"keep\":[\"NO_PROXY\",\"SSLKEYLOGFILE\"]}}");
	assert_string_equal(value_of("A"), "b c=d");
	assert_string_equal(value_of("https_proxy"), "");
	assert_string_equal(value_of("HTTPS_PROXY"), "http://198.18.0.2:3128");
	assert_string_equal(value_of("FTP_PROXY"), "f");
	assert_null(value_of("NO_PROXY"));
	assert_false(bouquet_replaces(&bouquet, "NO_PROXY=x"));
	assert_false(bouquet_replaces(&bouquet, "SSLKEYLOGFILE=x"));
	assert_true(bouquet_replaces(&bouquet, "A=x"));
	bouquet_adopt(&bouquet, "JAVA_TOOL_OPTIONS=-Dold", 23); /* the policy's is no longer one to put behind */
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), "-Dx");
}

static void test_direct(void **state)
{
	(void) state;
	make("{\"direct\":[\"10.0.0.0/8\",\"fe80::/10\"]}");
	assert_string_equal(value_of("no_proxy"), DIRECT ",10.0.0.0/8,fe80::/10");
	assert_string_equal(value_of("NO_PROXY"), value_of("no_proxy"));
	assert_string_equal(value_of("https_proxy"), "http://198.18.0.2:3128");
	make("{\"environment\":{\"profile\":\"full\"},\"direct\":[\"10.0.0.0/8\",\"172.16.0.0/15\",\"192.0.2.6/31\","
	     "\"198.51.100.7/32\",\"100.64.0.0/10\",\"fe80::/10\"]}");
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), JAVA
		" -Dhttp.nonProxyHosts=localhost|127.*|[::1]|10.*|172.16.*|172.17.*|192.0.2.6|192.0.2.7|198.51.100.7");
}

/* As many and as long as there can be: all of them fit. */
static void test_longest(void **state)
{
	(void) state;
	static char policy[65536], own[BOUQUET_OWN_MAX + 1];
	for (int java = 0; java < 2; java++) {
		int at = sprintf(policy, "{\"all_proxy\":\"socks5h\",\"environment\":{\"profile\":\"full\",\"set\":{");
		for (unsigned i = 0; i < 32; i++)
			at += sprintf(policy + at, "%s\"V%02u\":\"%0251u\"", i ? "," : "", i, 0);
		at += sprintf(policy + at, "}},\"direct\":[");
		for (unsigned i = 0; i < IMAGE_DIRECT_MAX; i++)
			at += java ? sprintf(policy + at, "%s\"255.255.%u.240/28\"", i ? "," : "", 200 + i)
				   : sprintf(policy + at, "%s\"fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fd%02x/128\"",
					     i ? "," : "", 0x80 + i);
		(void) sprintf(policy + at, "]}");
		_cleanup_free_ struct image *image = NULL;
		struct error err = { 0 };
		if (policy_compile("F", "p", policy, strlen(policy), IMAGE_ON_FAILURE_OPEN, &image, &err) < 0)
			fail_msg("%s", err.msg);
		bouquet_make(image, (struct in_addr){ htonl(0xffffffff) }, 65535, &bouquet);
		(void) snprintf(own, sizeof(own), "JAVA_TOOL_OPTIONS=%04078u", 0);
		assert_int_equal(strlen(own), BOUQUET_OWN_MAX);
		bouquet_adopt(&bouquet, own, strlen(own));

		assert_int_equal(bouquet.n, 27 + 32);
		assert_string_equal(value_of("ALL_PROXY"), "socks5h://255.255.255.255:65535");
		assert_int_equal(strlen(value_of("V31")), 251);
		const char *end = value_of("npm_config_noproxy");
		assert_string_equal(end + strlen(end) - 4, java ? "0/28" : "/128");
		end = value_of("JAVA_TOOL_OPTIONS");
		assert_string_equal(end + strlen(end) - 5, java ? "1.255" : "[::1]");
		assert_true(bouquet_replaces(&bouquet, "SSLKEYLOGFILE"));
	}
}

static void test_cost(void **state)
{
	(void) state;
	size_t bytes = 0;
	make("{\"environment\":{\"profile\":\"full\"}}");
	for (size_t i = 0; i < bouquet.n; i++)
		bytes += strlen(bouquet_text(&bouquet, i)) + 1 + sizeof(char *);
	assert_in_range(bytes, 1, 1536);
}

/* -- what it does to an environment */

static void adopt(const char *variable)
{
	_cleanup_free_ char *copy = strdup(variable); /* the sanitizer sees a read past its end */
	bouquet_adopt(&bouquet, copy, strlen(copy));
}

static void test_adopt(void **state)
{
	(void) state;
	static const char full[] = "{\"environment\":{\"profile\":\"full\"}}";
	make(full);
	adopt("JAVA_TOOL_OPTIONSX=-Xa");
	adopt("JAVA_TOOL_OPTION=-Xa");
	adopt("");
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), JAVA);
	adopt("JAVA_TOOL_OPTIONS=-Xmx1g -Dy=z");
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), "-Xmx1g -Dy=z " JAVA);
	adopt("JAVA_TOOL_OPTIONS=-Dsecond"); /* nobody saw it before either */
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), "-Xmx1g -Dy=z " JAVA);
	assert_string_equal(bouquet_find(&bouquet, "JAVA_TOOL_OPTIONS"), "JAVA_TOOL_OPTIONS=-Xmx1g -Dy=z " JAVA);

	static const char *const empty[] = { "JAVA_TOOL_OPTIONS=", "JAVA_TOOL_OPTIONS=" JAVA };
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		make(full);
		adopt(empty[i]);
		assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), JAVA);
	}
	make(full); /* twice is as good as once */
	adopt("JAVA_TOOL_OPTIONS=-Xmx1g " JAVA);
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), "-Xmx1g " JAVA);
	make(full);
	adopt("JAVA_TOOL_OPTIONS=-Dx=x" JAVA); /* the end of another option is none of ours */
	assert_string_equal(value_of("JAVA_TOOL_OPTIONS"), "-Dx=x" JAVA " " JAVA);
	make(NULL);
	adopt("JAVA_TOOL_OPTIONS=-Xa");
	assert_null(value_of("JAVA_TOOL_OPTIONS"));
	assert_false(bouquet_replaces(&bouquet, "JAVA_TOOL_OPTIONS=-Xa"));
}

static void assert_java_left_out(size_t n)
{
	assert_int_equal(bouquet.n, n - 1);
	assert_false(bouquet_replaces(&bouquet, "JAVA_TOOL_OPTIONS=x"));
	assert_string_equal(value_of("OCI_EGRESS"), "1");
	assert_true(bouquet_replaces(&bouquet, "SSLKEYLOGFILE"));
	assert_null(bouquet_find(&bouquet, "SSLKEYLOGFILE"));
	assert_null(bouquet_find(&bouquet, "FTP_PROXY"));
}

static void test_too_long(void **state)
{
	(void) state;
	static char own[BOUQUET_OWN_MAX + 2];
	make("{\"environment\":{\"profile\":\"full\"}}");
	size_t n = bouquet.n;
	(void) snprintf(own, sizeof(own), "JAVA_TOOL_OPTIONS=%04079u", 0);
	assert_int_equal(strlen(own), BOUQUET_OWN_MAX + 1);
	adopt(own);
	assert_java_left_out(n);

	make("{\"environment\":{\"profile\":\"full\"}}");
	bouquet_leave_appended(&bouquet);
	bouquet_leave_appended(&bouquet);
	assert_java_left_out(n);
}

static void test_replaces(void **state)
{
	(void) state;
	make(NULL);
	assert_true(bouquet_replaces(&bouquet, "HTTP_PROXY=http://user:secret@old:1"));
	assert_true(bouquet_replaces(&bouquet, "http_proxy="));
	assert_true(bouquet_replaces(&bouquet, "no_proxy=a=b"));
	assert_true(bouquet_replaces(&bouquet, "NO_PROXY")); /* no '=': some programs look for the name alone */
	assert_false(bouquet_replaces(&bouquet, "HTTP_PROX=x"));
	assert_false(bouquet_replaces(&bouquet, "HTTP_PROXYX=x"));
	assert_false(bouquet_replaces(&bouquet, "Http_Proxy=x"));
	assert_false(bouquet_replaces(&bouquet, " HTTP_PROXY=x"));
	assert_false(bouquet_replaces(&bouquet, "SSLKEYLOGFIL=x"));
	assert_false(bouquet_replaces(&bouquet, "SSLKEYLOGFILES=x"));
	assert_false(bouquet_replaces(&bouquet, "=x"));
	assert_false(bouquet_replaces(&bouquet, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_may_stay),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_set_and_keep),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_replaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
