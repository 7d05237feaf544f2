/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/policy.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "tests/oci/flaw.h"
#include "tests/oci/test.h"

static int compile(const char *text, size_t len, struct image **ret, struct error *err)
{
	_cleanup_free_ char *copy = copy_of(text, len); /* the image must not point into it */
	return policy_compile("F", "name", copy, len, IMAGE_ON_FAILURE_OPEN, ret, err);
}

static struct image *good(const char *text)
{
	struct image *image = NULL;
	const struct image *checked = NULL;
	struct error err = { 0 };
	if (compile(text, strlen(text), &image, &err) < 0 || image_check(image, image->size, &checked, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	assert_ptr_equal(checked, image);
	if (image_flaw(image))
		fail_msg("%s: flaw: %s", text, image_flaw(image));
	return image;
}

static void test_defaults(void **state)
{
	(void) state;
	struct image *image = good("{}");
	assert_int_equal(image->proxy, IMAGE_PROXY_BUILTIN);
	assert_int_equal(image->link, IMAGE_LINK_AUTO);
	assert_int_equal(image->on_failure, IMAGE_ON_FAILURE_OPEN);
	assert_int_equal(image->startup_timeout_ms, 10000);
	assert_int_equal(image->sni, IMAGE_SNI_MATCH);
	assert_int_equal(image->on_reload, IMAGE_ON_RELOAD_END);
	assert_int_equal(image->environment.profile, IMAGE_PROFILE_PROXY);
	assert_int_equal(image->environment.all_proxy, IMAGE_ALL_PROXY_HTTP);
	assert_int_equal(image->environment.set.count, 0);
	assert_int_equal(image->environment.keep.count, 0);
	assert_int_equal(image->limits.connections, 256);
	assert_int_equal(image->limits.connections_per_second, 1000);
	assert_int_equal(image->limits.response_head_bytes, 65536);
	assert_int_equal(image->limits.trailer_bytes, 8192);
	assert_int_equal(image->limits.total_timeout_ms, 0);
	assert_int_equal(image->limits.bytes_per_second_up, 0);
	assert_int_equal(image->limits.bytes_per_second_down, 0);
	assert_int_equal(image->limits.lookups, 64);
	assert_int_equal(image->limits.head_bytes, 16384);
	assert_int_equal(image->limits.head_timeout_ms, 10000);
	assert_int_equal(image->limits.resolve_timeout_ms, 10000);
	assert_int_equal(image->limits.connect_timeout_ms, 10000);
	assert_int_equal(image->limits.idle_timeout_ms, 600000);
	assert_int_equal(image->limits.log_bytes, 4 << 20);
	assert_string_equal(image_string(image, image->name), "name");
	assert_string_equal(image_string(image, image->file), "F");
	assert_int_equal(image->n_allow, 0);
	assert_int_equal(image->n_deny, 0);
	assert_int_equal(image->networks.count, 0);
	const uint16_t *ports = image_records(image, image->ports);
	assert_int_equal(image->ports.count, 2);
	assert_int_equal(ports[0], 80);
	assert_int_equal(ports[1], 443);
	free(image);

	struct error err = { 0 };
	assert_int_equal(policy_compile("F", "n", "{}", 2, IMAGE_ON_FAILURE_CLOSED, &image, &err), 0);
	assert_int_equal(image->on_failure, IMAGE_ON_FAILURE_CLOSED);
	free(image);
}

static void test_plain_keys(void **state)
{
	(void) state;
	struct image *image =
		good("// comments are fine\n{\"version\":1,\"ports\":[65535,1,443,1],\"link\":\"socket\","
		     "\"on_failure\":\"closed\",\"sni\":\"off\",\"on_reload\":\"keep\",\"startup_timeout_ms\":600000,"
		     "\"limits\":{\"connections\":100000,\"connections_per_second\":0,\"response_head_bytes\":1048576,"
		     "\"trailer_bytes\":64,\"total_timeout_ms\":604800000,\"bytes_per_second_up\":4294967295,"
		     "\"bytes_per_second_down\":1,\"lookups\":1024,"
		     "\"head_bytes\":1024,\"head_timeout_ms\":100,\"resolve_timeout_ms\":101,"
		     "\"connect_timeout_ms\":102,\"idle_timeout_ms\":1000,\"log_bytes\":1073741824}}");
	assert_int_equal(image->link, IMAGE_LINK_SOCKET);
	assert_int_equal(image->on_failure, IMAGE_ON_FAILURE_CLOSED);
	assert_int_equal(image->startup_timeout_ms, 600000);
	assert_int_equal(image->sni, IMAGE_SNI_OFF);
	assert_int_equal(image->on_reload, IMAGE_ON_RELOAD_KEEP);
	assert_int_equal(image->limits.connections, 100000);
	assert_int_equal(image->limits.connections_per_second, 0);
	assert_int_equal(image->limits.response_head_bytes, 1048576);
	assert_int_equal(image->limits.trailer_bytes, 64);
	assert_int_equal(image->limits.total_timeout_ms, 604800000);
	assert_int_equal(image->limits.bytes_per_second_up, 4294967295u);
	assert_int_equal(image->limits.bytes_per_second_down, 1);
	assert_int_equal(image->limits.lookups, 1024);
	assert_int_equal(image->limits.head_bytes, 1024);
	assert_int_equal(image->limits.head_timeout_ms, 100);
	assert_int_equal(image->limits.resolve_timeout_ms, 101);
	assert_int_equal(image->limits.connect_timeout_ms, 102);
	assert_int_equal(image->limits.idle_timeout_ms, 1000);
	assert_int_equal(image->limits.log_bytes, 1u << 30);
	const uint16_t *ports = image_records(image, image->ports);
	assert_int_equal(image->ports.count, 3);
	assert_int_equal(ports[0], 1);
	assert_int_equal(ports[1], 443);
	assert_int_equal(ports[2], 65535);
	free(image);
}

static const struct image_host *find_host(
	const struct image *image, enum image_rule_kind kind, const char *key, size_t key_len)
{
	uint32_t at, end;
	const struct image_host *host;
	if (image_hosts(image, image_hash(kind, key, key_len), &at, &end))
		while ((host = image_host_at(image, &at, end)))
			if (host->kind == kind && host->key_len == key_len &&
				memcmp(image_host_key(host), key, key_len) == 0)
				return host;
	return NULL;
}

static void expect_rule(const struct image *image, enum image_list list, enum image_rule_kind kind, const char *key,
	size_t key_len, uint16_t port, uint32_t line, const char *text)
{
	const struct image_host *host = find_host(image, kind, key, key_len);
	if (!host)
		fail_msg("%s: no such host", text);
	const struct image_rule *rule = image_host_rules(host);
	for (uint32_t i = 0; i < host->n_rules; i++)
		if (rule[i].list == list && rule[i].port == port) {
			assert_int_equal(rule[i].line, line);
			assert_string_equal(image_string(image, rule[i].text), text);
			return;
		}
	fail_msg("%s: no such rule", text);
}

static void test_rules(void **state)
{
	(void) state;
	struct image *image = good("{\"allow\":[\n"
				   "\"[2001:4860::8]:53\",\n"
				   "\"8.8.8.8\",\n"
				   "\"*.Example.com\",\n"
				   "\"b.example.com:8443\",\n"
				   "\"B.Example.com.\",\n"
				   "\"b.example.com\", \"b.example.com:8443\",\n"
				   "\"z.org\", \"*.a.example.com\"],\n"
				   "\"deny\":[\"127.0.0.1\",\"localhost\",\"x.example.com:1\",\"z.org:5\"]}");
	const enum image_list allow = IMAGE_LIST_ALLOW, deny = IMAGE_LIST_DENY;
	assert_int_equal(image->n_allow, 7);
	expect_rule(image, allow, IMAGE_RULE_NAME, "z.org", 5, 0, 8, "z.org");
	expect_rule(image, allow, IMAGE_RULE_NAME, "b.example.com", 13, 0, 6, "B.Example.com.");
	expect_rule(image, allow, IMAGE_RULE_NAME, "b.example.com", 13, 8443, 5, "b.example.com:8443");
	expect_rule(image, allow, IMAGE_RULE_WILDCARD, "example.com", 11, 0, 4, "*.Example.com");
	expect_rule(image, allow, IMAGE_RULE_WILDCARD, "a.example.com", 13, 0, 8, "*.a.example.com");
	expect_rule(image, allow, IMAGE_RULE_ADDRESS4, "\x08\x08\x08\x08", 4, 0, 3, "8.8.8.8");
	expect_rule(image, allow, IMAGE_RULE_ADDRESS6, "\x20\x01\x48\x60\0\0\0\0\0\0\0\0\0\0\0\x08", 16, 53, 2,
		"[2001:4860::8]:53");
	assert_int_equal(image->n_deny, 4);
	expect_rule(image, deny, IMAGE_RULE_NAME, "localhost", 9, 0, 9, "localhost");
	expect_rule(image, deny, IMAGE_RULE_NAME, "x.example.com", 13, 1, 9, "x.example.com:1");
	expect_rule(image, deny, IMAGE_RULE_NAME, "z.org", 5, 5, 9, "z.org:5");
	expect_rule(image, deny, IMAGE_RULE_ADDRESS4, "\x7f\0\0\x01", 4, 0, 9, "127.0.0.1");
	assert_null(find_host(image, IMAGE_RULE_WILDCARD, "z.org", 5));
	assert_null(find_host(image, IMAGE_RULE_NAME, "example.com", 11));
	assert_int_equal(find_host(image, IMAGE_RULE_NAME, "z.org", 5)->n_rules, 2);
	free(image);
}

static void assert_network(const struct image_network *network, int family, int prefix, const char *text)
{
	char buf[NETWORK_TEXT_MAX];
	struct network n = { .base.family = network->family, .prefix = (uint8_t) network->prefix };
	memcpy(n.base.bytes, network->bytes, sizeof(n.base.bytes));
	network_format(&n, buf);
	assert_int_equal(network->family, family);
	assert_int_equal(network->prefix, prefix);
	assert_string_equal(buf, text);
}

static void test_direct(void **state)
{
	(void) state;
	struct image *image = good("{\"direct\":[\"2001:db8::/32\",\"lan\",\n\"169.254.169.254\",\"10.0.0.0/8\"],"
				   "\"inbound\":\"deny\",\"gate\":\"always\"}");
	const struct image_network *direct = image_records(image, image->direct);
	assert_int_equal(image->direct.count, 7);
	assert_network(&direct[0], AF_INET, 8, "10.0.0.0/8");
	assert_network(&direct[1], AF_INET, 16, "169.254.0.0/16");
	assert_network(&direct[2], AF_INET, 32, "169.254.169.254/32");
	assert_network(&direct[3], AF_INET, 12, "172.16.0.0/12");
	assert_network(&direct[4], AF_INET, 16, "192.168.0.0/16");
	assert_network(&direct[5], AF_INET6, 32, "2001:db8::/32");
	assert_network(&direct[6], AF_INET6, 10, "fe80::/10");
	assert_int_equal(direct[2].line, 2);
	assert_string_equal(image_string(image, direct[1].text), "lan");
	assert_int_equal(image->inbound, IMAGE_INBOUND_DENY);
	assert_int_equal(image->gate, IMAGE_GATE_ALWAYS);
	free(image);
}

static void test_networks(void **state)
{
	(void) state;
	struct image *image = good("{\"allow\":[\"10.1.2.3\",\"localhost\",\"[::1]\"],\n"
				   "\"networks\":[\"::1/128\",\"10.0.0.0/8\",\n\"::1\",\"10.0.0.0/16\"]}");
	const struct image_network *networks = image_records(image, image->networks);
	assert_int_equal(image->networks.count, 3);
	assert_int_equal(networks[0].family, AF_INET);
	assert_int_equal(networks[0].prefix, 8);
	assert_int_equal(networks[0].line, 2);
	assert_int_equal(networks[1].prefix, 16);
	assert_int_equal(networks[1].line, 3);
	assert_int_equal(networks[2].family, AF_INET6);
	assert_int_equal(networks[2].prefix, 128);
	assert_int_equal(networks[2].bytes[15], 1);
	assert_string_equal(image_string(image, networks[2].text), "::1/128");
	free(image);
}

static void test_external(void **state)
{
	(void) state;
	struct image *image = good("{\"proxy\":{\"command\":[\"/usr/bin/squid\",\"-N\",\"\",\"{port}\"],\"port\":3128,"
				   "\"user\":\"proxy\",\"stop_timeout_ms\":60000}}");
	assert_int_equal(image->proxy, IMAGE_PROXY_EXTERNAL);
	assert_int_equal(image->external.port, 3128);
	assert_int_equal(image->external.stop_timeout_ms, 60000);
	assert_string_equal(image_string(image, image->external.user), "proxy");
	assert_int_equal(image->external.argv.count, 4);
	const struct image_text *argv = image_records(image, image->external.argv);
	assert_string_equal(image_string(image, argv[0]), "/usr/bin/squid");
	assert_string_equal(image_string(image, argv[2]), "");
	assert_string_equal(image_string(image, argv[3]), "{port}");
	assert_int_equal(image->ports.count, 0);
	free(image);

	image = good("{\"proxy\":{\"command\":[\"/p\"]}}");
	assert_int_equal(image->external.port, 0);
	assert_int_equal(image->external.stop_timeout_ms, 2000);
	assert_string_equal(image_string(image, image->external.user), "");
	free(image);
}

static const char *text_of(const struct image *image, struct image_table table, uint32_t i)
{
	const struct image_text *texts = image_records(image, table);
	assert_int_equal(strlen(image_string(image, texts[i])), texts[i].len);
	return image_string(image, texts[i]);
}

static void test_environment(void **state)
{
	(void) state;
	struct image *image =
		good("{\"all_proxy\":\"socks5h\",\"environment\":{\"profile\":\"full\","
		     "\"set\":{\"A\":\"\",\"_b9\":\"x=y \\u00e9\"},\"keep\":[\"SSLKEYLOGFILE\",\"no_proxy\"]}}");
	assert_int_equal(image->environment.profile, IMAGE_PROFILE_FULL);
	assert_int_equal(image->environment.all_proxy, IMAGE_ALL_PROXY_SOCKS5H);
	assert_int_equal(image->environment.set.count, 2);
	assert_string_equal(text_of(image, image->environment.set, 0), "A=");
	assert_string_equal(text_of(image, image->environment.set, 1), "_b9=x=y \303\251");
	assert_int_equal(image->environment.keep.count, 2);
	assert_string_equal(text_of(image, image->environment.keep, 1), "no_proxy");
	free(image);

	image = good("{\"environment\":{\"profile\":\"none\"},\"proxy\":{\"command\":[\"/p\"]}}");
	assert_int_equal(image->environment.profile, IMAGE_PROFILE_NONE);
	free(image);
}

/* {"environment":{"set":{"V0":"xx..",...}}}, n of them, each with len bytes: what is wrong with it, or "". */
static const char *refusal_of_set(unsigned n, unsigned len)
{
	static char text[1 << 17], value[8192];
	static struct error err;
	err.msg[0] = '\0';
	memset(value, 'x', len);
	value[len] = '\0';
	int at = sprintf(text, "{\"environment\":{\"set\":{");
	for (unsigned i = 0; i < n; i++)
		at += sprintf(text + at, "%s\"V%02u\":\"%s\"", i ? "," : "", i, value);
	(void) sprintf(text + at, "}}}");
	struct image *image = NULL;
	if (compile(text, strlen(text), &image, &err) == 0)
		free(image);
	return err.msg;
}

static void test_environment_limits(void **state)
{
	(void) state;
	assert_string_equal(refusal_of_set(32, 100), "");
	assert_non_null(strstr(refusal_of_set(33, 1), "environment.set: has 33 variables, expected at most 32"));
	assert_string_equal(refusal_of_set(1, 4096), "");
	assert_non_null(strstr(refusal_of_set(1, 4097), "environment.set.V00: is longer than 4096 bytes"));
	assert_string_equal(refusal_of_set(32, 251), ""); /* 8192 / 32, less "V00=" and the NUL */
	assert_non_null(strstr(refusal_of_set(32, 252), "has 8224 bytes of names and values, expected at most 8192"));
}

static void test_bad(void **state)
{
	(void) state;
#define NAMES "expected letters, digits and _, at most 128, the first no digit"
#define ADDRESS                                                                                                   \
	"is where the image or the engine may have another proxy's address, and credentials with it, so that it " \
	"cannot be kept; \"set\" can give it a value"
#define BESIDE "cannot stand beside \"proxy\": the external proxy decides alone; remove one of the two"
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "[]", "F:1:1: is no object, expected {" },
		{ "{\"version\":2}", "F:1:12: version: is 2, expected 1" },
		{ "{\"version\":\"1\"}", "F:1:12: version: is a string, expected 1" },
		{ "{\n  \"alow\": []}", "F:2:3: alow: unknown key, did you mean \"allow\"?" },
		{ "{\"allow\":null}", "F:1:10: allow: is null, expected an array of strings" },
		{ "{\"allow\":[\"a.example.com\",7]}", "F:1:27: allow[1]: is a number, expected a string" },
		{ "{\"deny\":\"x.example.com\"}", "F:1:9: deny: is a string, expected an array of strings" },
		{ "{\"ports\":[]}", "F:1:10: ports: is empty, expected a non-empty array of integers from 1 to 65535" },
		{ "{\"ports\":[443,65536]}", "F:1:15: ports[1]: is 65536, expected an integer from 1 to 65535" },
		{ "{\"ports\":[4295033271]}", "F:1:11: ports[0]: is 4295033271, expected an integer from 1 to 65535" },
		{ "{\"ports\":[\"443\"]}", "F:1:11: ports[0]: is a string, expected a number" },
		{ "{\"link\":\"tap\"}", "F:1:9: link: is \"tap\", expected \"auto\" or \"veth\" or \"socket\"" },
		{ "{\"on_failure\":\"ignore\"}", "F:1:15: on_failure: is \"ignore\", expected \"open\" or \"closed\"" },
		{ "{\"startup_timeout_ms\":99}",
			"F:1:23: startup_timeout_ms: is 99, expected an integer from 100 to 600000" },
		{ "{\"limits\":{\"connections\":0}}",
			"F:1:26: limits.connections: is 0, expected an integer from 1 to 100000" },
		{ "{\"limits\":{\"conections\":1}}",
			"F:1:12: limits.conections: unknown key, did you mean \"connections\"?" },
		{ "{\"limits\":[]}", "F:1:11: limits: is an array, expected an object" },
		{ "{\"networks\":[\"10.0.0.1/8\"]}",
			"F:1:14: networks[0]: \"10.0.0.1/8\": the address has bits set behind the prefix" },
		{ "{\"direct\":[\"::/0\"]}",
			"F:1:12: direct[0]: \"::/0\": everything: name the ranges that are meant" },
		{ "{\"direct\":[\"lan\",\"224.0.0.0/4\"]}",
			"F:1:18: direct[1]: \"224.0.0.0/4\": multicast, which cannot be opened" },
		{ "{\"networks\":[\"0.0.0.0/0\"]}",
			"F:1:14: networks[0]: \"0.0.0.0/0\": everything: name the ranges that are meant" },
		{ "{\"allow\":[\"169.254.169.254:80\"]}",
			"F:1:11: allow[0]: \"169.254.169.254:80\": lies in 169.254.0.0/16, which is refused unless "
			"\"networks\" lists it" },
		{ "{\"allow\":[\"10.1.2.3\"],\"networks\":[\"10.1.3.0/24\"]}",
			"F:1:11: allow[0]: \"10.1.2.3\": lies in 10.0.0.0/8, which is refused unless \"networks\" "
			"lists it" },
		{ "{\"allow\":[\"a.LocalHost.\"]}",
			"F:1:11: allow[0]: \"a.LocalHost.\": the host's own loopback, which is refused unless "
			"\"networks\" lists it" },
		{ "{\"allow\":[\"\\u001b[2J\"]}",
			"F:1:11: allow[0]: \"\\x1b[2J\": the host has a byte that no host name has: letters, digits, "
			"hyphen, underscore and dot" },
		{ "{\"proxy\":{}}", "F:1:10: proxy: command: is missing, expected an array of strings" },
		{ "{\"proxy\":{\"command\":[]}}",
			"F:1:21: proxy.command: has 0 elements, expected an array of strings, 1 to 1024" },
		{ "{\"proxy\":{\"command\":[\"squid\"]}}",
			"F:1:22: proxy.command[0]: is \"squid\", expected the program's absolute path" },
		{ "{\"proxy\":{\"command\":[\"/p\"],\"user\":\"a:b\"}}",
			"F:1:35: proxy.user: is \"a:b\", expected the name of a user" },
		{ "{\"proxy\":{\"command\":[\"/p\"],\"port\":0}}",
			"F:1:35: proxy.port: is 0, expected an integer from 1 to 65535" },
		{ "{\"proxy\":{\"command\":[\"/p\"]},\"allow\":[]}", "F:1:29: allow: " BESIDE },
		{ "{\"deny\":[],\"proxy\":{\"command\":[\"/p\"]}}", "F:1:2: deny: " BESIDE },
		{ "{\"proxy\":{\"command\":[\"/p\"]},\"ports\":[80]}", "F:1:29: ports: " BESIDE },
		{ "{\"proxy\":{\"command\":[\"/p\"]},\"networks\":[]}", "F:1:29: networks: " BESIDE },
		{ "{\"all_proxy\":\"socks5\"}", "F:1:14: all_proxy: is \"socks5\", expected \"http\" or \"socks5h\"" },
		{ "{\"environment\":[]}", "F:1:16: environment: is an array, expected an object" },
		{ "{\"environment\":{\"profile\":\"all\"}}",
			"F:1:27: environment.profile: is \"all\", expected \"none\" or \"proxy\" or \"full\"" },
		{ "{\"environment\":{\"tools\":[]}}",
			"F:1:17: environment.tools: unknown key, expected one of: profile, set, keep" },
		{ "{\"environment\":{\"set\":{\"A\":1}}}",
			"F:1:28: environment.set.A: is a number, expected a string" },
		{ "{\"environment\":{\"set\":{\"\":\"\"}}}",
			"F:1:24: environment.set.: is no name of a variable, " NAMES },
		{ "{\"environment\":{\"set\":{\"A=B\":\"\"}}}",
			"F:1:24: environment.set.A=B: is no name of a variable, " NAMES },
		{ "{\"environment\":{\"set\":{\"1A\":\"\"}}}",
			"F:1:24: environment.set.1A: is no name of a variable, " NAMES },
		{ "{\"environment\":{\"set\":{\"A\\u0007\":\"\"}}}",
			"F:1:24: environment.set.A\\x07: is no name of a variable, " NAMES },
		{ "{\"environment\":{\"set\":{\"LD_PRELOAD\":\"/x\"}}}",
			"F:1:24: environment.set.LD_PRELOAD: is the dynamic loader's (ld.so(8)), which a policy cannot "
			"set" },
		{ "{\"environment\":{\"set\":{\"GLIBC_TUNABLES\":\"x\"}}}",
			"F:1:24: environment.set.GLIBC_TUNABLES: is the dynamic loader's (ld.so(8)), which a policy "
			"cannot set" },
		{ "{\"environment\":{\"set\":{\"A\":\"x\\ny\"}}}",
			"F:1:28: environment.set.A: has control bytes, which a value of a variable cannot have here" },
		{ "{\"environment\":{\"keep\":[\"PATH\"]}}",
			"F:1:25: environment.keep[0]: \"PATH\": is none of the variables that are set or taken out "
			"(oci-egress env lists them): it is kept anyway" },
		{ "{\"environment\":{\"keep\":[\"NO_PROXY\",\"https_proxy\"]}}",
			"F:1:36: environment.keep[1]: \"https_proxy\": " ADDRESS },
		{ "{\"environment\":{\"keep\":[\"CLOUDSDK_PROXY_PASSWORD\"]}}",
			"F:1:25: environment.keep[0]: \"CLOUDSDK_PROXY_PASSWORD\": " ADDRESS },
		{ "{\"environment\":{\"keep\":[\"no_proxy\",\"no_proxy\"]}}",
			"F:1:36: environment.keep[1]: \"no_proxy\": is there twice" },
		{ "{\"environment\":{\"keep\":[\"no_proxy\"],\"set\":{\"no_proxy\":\"*\"}}}",
			"F:1:25: environment.keep[0]: \"no_proxy\": is set as well; remove one of the two" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image *image = NULL;
		struct error err = { 0 };
		if (compile(rows[i].text, strlen(rows[i].text), &image, &err) != -EINVAL)
			fail_msg("%s: accepted", rows[i].text);
		assert_null(image);
		assert_message(&err, rows[i].message);
	}
}

static void test_equal_bytes(void **state)
{
	(void) state;
	static const char text[] = "{\"allow\":[\"a.example.com\",\"*.b.example.com:1\",\"8.8.8.8\"],\"ports\":[1,2,3],"
				   "\"networks\":[\"10.0.0.0/8\"]}";
	struct image *a = good(text);
	/* freed memory that is not 0 must not show in the padding of the next image */
	void *dirt = malloc(a->size);
	memset(dirt, 0xa5, a->size);
	free(dirt);
	struct image *b = good(text);
	assert_int_equal(a->size, b->size);
	assert_memory_equal(a, b, a->size);
	free(b);

	struct error err = { 0 };
	assert_int_equal(policy_compile("F", "other", text, strlen(text), IMAGE_ON_FAILURE_OPEN, &b, &err), 0);
	assert_true(a->size != b->size || memcmp(a, b, a->size) != 0);
	free(b);
	free(a);
}

/* Neither the number of entries nor that they are all equal, or sorted the wrong way, makes it slow. */
static void test_many(void **state)
{
	(void) state;
	size_t n = 200000, size = n * 32 + 100, at;
	_cleanup_free_ char *text = malloc(size);
	for (int equal = 0; equal <= 1; equal++) {
		at = (size_t) snprintf(text, size, "{\"allow\":[");
		for (size_t i = n; i-- > 0;)
			at += (size_t) snprintf(text + at, size - at, "\"h%zu.example.com\",\n", equal ? 7 : i);
		(void) snprintf(text + at, size - at, "\"last.example.com\"]}");
		struct image *image = good(text);
		assert_int_equal(image->n_allow, equal ? 2 : n + 1);
		free(image);
	}
}

/* All ports of one host: more than the distance that a group can tell in its smallest unit, and others around it. */
static void test_all_ports(void **state)
{
	(void) state;
	size_t size = 66000 * 24, at;
	_cleanup_free_ char *text = malloc(size);
	at = (size_t) snprintf(text, size, "{\"allow\":[\"*.b.example.com\",\"a.example.com\"");
	for (unsigned port = 65535; port > 0; port--)
		at += (size_t) snprintf(text + at, size - at, ",\n\"a.example.com:%u\"", port);
	for (unsigned i = 0; i < 100; i++)
		at += (size_t) snprintf(text + at, size - at, ",\"c%u.example.com\"", i);
	(void) snprintf(text + at, size - at, "]}");
	struct image *image = good(text);
	assert_int_equal(image->n_allow, 65536 + 101);
	assert_true(image->unit > 4);
	const struct image_host *host = find_host(image, IMAGE_RULE_NAME, "a.example.com", 13);
	assert_int_equal(host->n_rules, 65536);
	expect_rule(image, IMAGE_LIST_ALLOW, IMAGE_RULE_NAME, "a.example.com", 13, 0, 1, "a.example.com");
	expect_rule(image, IMAGE_LIST_ALLOW, IMAGE_RULE_NAME, "a.example.com", 13, 65535, 2, "a.example.com:65535");
	expect_rule(image, IMAGE_LIST_ALLOW, IMAGE_RULE_NAME, "c99.example.com", 15, 0, 65536, "c99.example.com");
	free(image);
}

/* A policy with one entry is what most have: it must stay small. */
static void test_small(void **state)
{
	(void) state;
	struct image *image = good("{\"allow\":[\"a.example.com\"]}");
	assert_true(image->size < 512);
	free(image);
	image = good("{\"allow\":[],\"deny\":[]}");
	assert_int_equal(image->groups.count, 0);
	assert_true(image->size < 300);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_plain_keys),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_limits),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_equal_bytes),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_all_ports),
		cmocka_unit_test(test_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
