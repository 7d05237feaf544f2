/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bouquet.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct bouquet bouquet;

static const char *value_of(const char *name)
{
	const char *found = NULL;
	size_t len = strlen(name);
	for (size_t i = 0; i < bouquet.n; i++) {
		if (strncmp(bouquet.text[i], name, len) == 0 && bouquet.text[i][len] == '=') {
			assert_null(found); /* once */
			found = bouquet.text[i] + len + 1;
		}
	}
	return found;
}

static void test_values(void **state)
{
	(void) state;
	static const char *const proxies[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy",
		"ALL_PROXY" };
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		assert_string_equal(value_of(proxies[i]), "http://198.18.0.2:3128");
	assert_string_equal(value_of("no_proxy"), "localhost,127.0.0.1,127.0.0.0/8,::1");
	assert_string_equal(value_of("NO_PROXY"), value_of("no_proxy"));
	assert_string_equal(value_of("NODE_USE_ENV_PROXY"), "1");
	assert_string_equal(value_of("OCI_EGRESS"), "1");
	assert_int_equal(bouquet.n, 10);
}

static void test_longest(void **state)
{
	(void) state;
	struct in_addr addr = { .s_addr = htonl(0xffffffff) };
	struct bouquet longest;
	bouquet_make(addr, 65535, &longest);
	assert_string_equal(longest.text[3], "HTTPS_PROXY=http://255.255.255.255:65535");
}

/* As many and as long as there can be: all of them fit. */
static void test_direct(void **state)
{
	(void) state;
	static struct {
		struct image image;
		struct image_network direct[IMAGE_DIRECT_MAX];
	} policy;
	policy.image.direct = (struct image_table){ .offset = sizeof(policy.image), .count = 2 };
	policy.direct[0] = (struct image_network){ .family = AF_INET, .prefix = 8, .bytes = { 10 } };
	policy.direct[1] = (struct image_network){ .family = AF_INET6, .prefix = 10, .bytes = { 0xfe, 0x80 } };
	struct bouquet some;
	bouquet_make((struct in_addr){ htonl(0xc6120002) }, 3128, &some);
	bouquet_add_direct(&some, &policy.image);
	assert_string_equal(
		bouquet_find(&some, "no_proxy"), "no_proxy=localhost,127.0.0.1,127.0.0.0/8,::1,10.0.0.0/8,fe80::/10");
	assert_string_equal(bouquet_find(&some, "NO_PROXY") + 9, bouquet_find(&some, "no_proxy") + 9);
	assert_string_equal(bouquet_find(&some, "https_proxy"), "https_proxy=http://198.18.0.2:3128");

	policy.image.direct.count = IMAGE_DIRECT_MAX;
	for (size_t i = 0; i < IMAGE_DIRECT_MAX; i++) {
		policy.direct[i] = (struct image_network){ .family = AF_INET6, .prefix = 128 };
		memset(policy.direct[i].bytes, 0xfd, sizeof(policy.direct[i].bytes));
	}
	bouquet_make((struct in_addr){ htonl(0xc6120002) }, 3128, &some);
	bouquet_add_direct(&some, &policy.image);
	const char *text = bouquet_find(&some, "no_proxy");
	assert_int_equal(strlen(text), strlen("no_proxy=localhost,127.0.0.1,127.0.0.0/8,::1") + IMAGE_DIRECT_MAX * 44);
	assert_string_equal(text + strlen(text) - 4, "/128");
}

static void test_replaces(void **state)
{
	(void) state;
	assert_true(bouquet_replaces(&bouquet, "HTTP_PROXY=http://user:secret@old:1"));
	assert_true(bouquet_replaces(&bouquet, "http_proxy="));
	assert_true(bouquet_replaces(&bouquet, "no_proxy=a=b"));
	assert_true(bouquet_replaces(&bouquet, "NO_PROXY")); /* no '=': some programs look for the name alone */
	assert_false(bouquet_replaces(&bouquet, "HTTP_PROX=x"));
	assert_false(bouquet_replaces(&bouquet, "HTTP_PROXYX=x"));
	assert_false(bouquet_replaces(&bouquet, "Http_Proxy=x"));
	assert_false(bouquet_replaces(&bouquet, " HTTP_PROXY=x"));
	assert_false(bouquet_replaces(&bouquet, "=x"));
	assert_false(bouquet_replaces(&bouquet, ""));
}

int main(void)
{
	struct in_addr addr = { .s_addr = htonl(0xc6120002) };
	bouquet_make(addr, 3128, &bouquet);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_replaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
