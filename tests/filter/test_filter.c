/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

#define RULES_MAX 64

/* An image laid out by hand, independent of the compiler: tables sorted here, all text behind them. */
struct fixture {
	struct image image;
	uint16_t ports[2];
	struct image_rule allow[RULES_MAX];
	struct image_rule deny[RULES_MAX];
	struct image_network networks[8];
	char text[2048];
	uint32_t text_len;
};

static uint32_t offset_in(const struct fixture *f, const void *p)
{
	return (uint32_t) ((const char *) p - (const char *) f);
}

static struct image_text add_text(struct fixture *f, const void *bytes, size_t len)
{
	assert_true(f->text_len + len + 1 <= sizeof(f->text));
	char *to = f->text + f->text_len;
	memcpy(to, bytes, len);
	f->text_len += (uint32_t) len + 1;
	return (struct image_text){ offset_in(f, to), (uint32_t) len };
}

static const struct fixture *sorting;

static int compare_rules(const void *pa, const void *pb)
{
	const struct image_rule *a = pa, *b = pb;
	if (a->kind != b->kind)
		return a->kind - b->kind;
	if (a->key.len != b->key.len)
		return a->key.len < b->key.len ? -1 : 1;
	int order = memcmp((const char *) sorting + a->key.offset, (const char *) sorting + b->key.offset, a->key.len);
	return order ? order : a->port - b->port;
}

static void add_rules(
	struct fixture *f, struct image_table *table, struct image_rule *rules, const char *const entries[])
{
	uint32_t n = 0;
	for (; entries[n]; n++) {
		const char *entry = entries[n];
		bool wildcard = strncmp(entry, "*.", 2) == 0;
		struct host host;
		uint16_t port;
		assert_true(n < RULES_MAX);
		const char *from = wildcard ? entry + 2 : entry;
		assert_null(host_parse_authority(from, strlen(from), false, &host, &port));

		struct image_rule *rule = &rules[n];
		rule->port = port;
		rule->line = n + 1;
		rule->text = add_text(f, entry, strlen(entry));
		if (host.kind == HOST_NAME) {
			rule->kind = wildcard ? IMAGE_RULE_WILDCARD : IMAGE_RULE_NAME;
			rule->key = add_text(f, host.name, host.len);
		} else {
			bool four = host.address.family == AF_INET;
			rule->kind = four ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6;
			rule->key = add_text(f, host.address.bytes, four ? 4 : 16);
		}
	}
	sorting = f;
	qsort(rules, n, sizeof(*rules), compare_rules);
	*table = (struct image_table){ offset_in(f, rules), n };
}

static struct fixture *fixture_new(const char *const allow[], const char *const deny[], const char *const networks[])
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->ports[0] = 80;
	f->ports[1] = 443;
	f->image.ports = (struct image_table){ offset_in(f, f->ports), 2 };
	add_rules(f, &f->image.allow, f->allow, allow);
	add_rules(f, &f->image.deny, f->deny, deny);

	uint32_t n = 0;
	for (; networks[n]; n++) {
		struct network network;
		assert_true(n < ARRAY_SIZE(f->networks));
		assert_null(network_parse(networks[n], strlen(networks[n]), &network));
		f->networks[n].family = network.base.family;
		f->networks[n].prefix = network.prefix;
		memcpy(f->networks[n].bytes, network.base.bytes, sizeof(f->networks[n].bytes));
		f->networks[n].text = add_text(f, networks[n], strlen(networks[n]));
	}
	f->image.networks = (struct image_table){ offset_in(f, f->networks), n };
	return f;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Expects the decision on "HOST:PORT", and the entry that made it (NULL: none). */
static void expect(const struct fixture *f, const char *target, enum reason reason, const char *entry)
{
	struct host host;
	uint16_t port;
	assert_null(host_parse_authority(target, strlen(target), true, &host, &port));
	struct decision decision = filter_decide(&f->image, &host, port);
	if (decision.reason != reason)
		fail_msg("%s: %s, not %s", target, reason_code(decision.reason), reason_code(reason));
	if (!decision.rule != !entry || (entry && strcmp(entry, image_string(&f->image, decision.rule->text)) != 0))
		fail_msg("%s: decided by %s, not %s", target,
			decision.rule ? image_string(&f->image, decision.rule->text) : "nothing",
			entry ? entry : "nothing");
}

static void test_empty(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f = fixture_new(LIST(), LIST(), LIST());
	expect(f, "example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "a:80", REASON_NOT_LISTED, NULL);
	expect(f, "1.2.3.4:80", REASON_NOT_LISTED, NULL);
	expect(f, "[2606::1]:80", REASON_NOT_LISTED, NULL);
}

static void test_exact(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f = fixture_new(LIST("api.example.com", "B.Example.com.", "c"), LIST(), LIST());
	expect(f, "api.example.com:443", REASON_ALLOWED, "api.example.com");
	expect(f, "API.example.COM.:80", REASON_ALLOWED, "api.example.com");
	expect(f, "b.example.com:443", REASON_ALLOWED, "B.Example.com.");
	expect(f, "c:443", REASON_ALLOWED, "c");
	expect(f, "example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "a.api.example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "evilapi.example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "api.example.com.evil.test:443", REASON_NOT_LISTED, NULL);
	expect(f, "api.example.co:443", REASON_NOT_LISTED, NULL);
	expect(f, "api.example.com:22", REASON_PORT_NOT_LISTED, "api.example.com");
	expect(f, "api.example.com:65535", REASON_PORT_NOT_LISTED, "api.example.com");
}

static void test_wildcard(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f =
		fixture_new(LIST("*.example.com", "*.test:8443", "own.example.com:22"), LIST(), LIST());
	expect(f, "a.example.com:443", REASON_ALLOWED, "*.example.com");
	expect(f, "example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "a.b.example.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "aexample.com:443", REASON_NOT_LISTED, NULL);
	expect(f, "a.example.com.test:443", REASON_NOT_LISTED, NULL);
	expect(f, "a.test:8443", REASON_ALLOWED, "*.test:8443");
	expect(f, "a.test:443", REASON_PORT_NOT_LISTED, "*.test:8443");
	expect(f, "test:8443", REASON_NOT_LISTED, NULL);
	expect(f, "own.example.com:22", REASON_ALLOWED, "own.example.com:22");
	expect(f, "own.example.com:443", REASON_ALLOWED, "*.example.com");
	expect(f, "other.example.com:22", REASON_PORT_NOT_LISTED, "*.example.com");
}

static void test_deny(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f =
		fixture_new(LIST("*.example.com", "x.test", "x.test:22", "b.test", "1.1.1.1"),
			LIST("secret.example.com", "*.test:22", "b.test:443", "1.1.1.1:80", "other.test"), LIST());
	expect(f, "a.example.com:443", REASON_ALLOWED, "*.example.com");
	expect(f, "secret.example.com:443", REASON_DENIED, "secret.example.com");
	expect(f, "secret.example.com:9", REASON_DENIED, "secret.example.com");
	expect(f, "x.test:443", REASON_ALLOWED, "x.test");
	expect(f, "x.test:22", REASON_DENIED, "*.test:22");
	expect(f, "b.test:443", REASON_DENIED, "b.test:443");
	expect(f, "b.test:80", REASON_ALLOWED, "b.test");
	expect(f, "1.1.1.1:80", REASON_DENIED, "1.1.1.1:80");
	expect(f, "1.1.1.1:443", REASON_ALLOWED, "1.1.1.1");
	expect(f, "other.test:443", REASON_DENIED, "other.test");
}

static void test_ports(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f = fixture_new(
		LIST("a.test:1", "a.test:22", "a.test:65535", "b.test", "b.test:22", "aa.test"), LIST(), LIST());
	expect(f, "a.test:1", REASON_ALLOWED, "a.test:1");
	expect(f, "a.test:22", REASON_ALLOWED, "a.test:22");
	expect(f, "a.test:65535", REASON_ALLOWED, "a.test:65535");
	expect(f, "a.test:443", REASON_PORT_NOT_LISTED, "a.test:1");
	expect(f, "b.test:443", REASON_ALLOWED, "b.test");
	expect(f, "b.test:22", REASON_ALLOWED, "b.test:22");
	expect(f, "b.test:23", REASON_PORT_NOT_LISTED, "b.test");

	/* no request can ask for port 0, which stands for "any" in a rule */
	struct host host;
	assert_null(host_parse("b.test", 6, &host));
	assert_int_not_equal(filter_decide(&f->image, &host, 0).reason, REASON_ALLOWED);
}

static void test_literals(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *f = fixture_new(
		LIST("93.184.216.34", "[2606:4700::1111]:443", "0.0.0.1.test", "[::5db8:d822]"), LIST(), LIST());
	expect(f, "93.184.216.34:443", REASON_ALLOWED, "93.184.216.34");
	expect(f, "93.184.216.35:443", REASON_NOT_LISTED, NULL);
	expect(f, "[::ffff:93.184.216.34]:443", REASON_NOT_LISTED, NULL);
	expect(f, "[2606:4700:0:0::1111]:443", REASON_ALLOWED, "[2606:4700::1111]:443");
	expect(f, "[2606:4700::1111]:80", REASON_PORT_NOT_LISTED, "[2606:4700::1111]:443");
	expect(f, "[2606:4700::1112]:443", REASON_NOT_LISTED, NULL);
}

/* Every entry of a long table is found, and nothing between two of them. */
static void test_search(void **state)
{
	(void) state;
	char names[RULES_MAX - 1][16];
	const char *entries[RULES_MAX];
	for (size_t n = 0; n < RULES_MAX; n++) {
		entries[n] = NULL;
		_cleanup_free_ struct fixture *f = fixture_new(entries, LIST(), LIST());
		for (size_t i = 0; i < RULES_MAX - 1; i++) {
			char target[32];
			(void) snprintf(target, sizeof(target), "n%zu.test:443", i);
			char name[16];
			(void) snprintf(name, sizeof(name), "n%zu.test", i);
			bool there = false;
			for (size_t k = 0; k < n; k++)
				there = there || strcmp(names[k], name) == 0;
			expect(f, target, there ? REASON_ALLOWED : REASON_NOT_LISTED, there ? name : NULL);
		}
		if (n < RULES_MAX - 1) {
			(void) snprintf(names[n], sizeof(names[n]), "n%zu.test", n * 5 % 63);
			entries[n] = names[n];
		}
	}
}

static void expect_address(const struct fixture *f, const char *text, enum reason reason, const char *entry)
{
	struct address address;
	assert_true(address_parse4(text, strlen(text), &address) || address_parse6(text, strlen(text), &address));
	const struct image_network *network = (const struct image_network *) 1;
	if (filter_check_address(&f->image, &address, NULL) != reason)
		fail_msg("%s: not %s", text, reason_code(reason));
	assert_int_equal(filter_check_address(&f->image, &address, &network), reason);
	if (!network != !entry || (entry && strcmp(entry, image_string(&f->image, network->text)) != 0))
		fail_msg("%s: let pass by %s, not %s", text,
			network ? image_string(&f->image, network->text) : "nothing", entry ? entry : "nothing");
}

static void test_addresses(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *none = fixture_new(LIST(), LIST(), LIST());
	expect_address(none, "93.184.216.34", REASON_ALLOWED, NULL);
	expect_address(none, "2606:4700::1111", REASON_ALLOWED, NULL);
	expect_address(none, "127.0.0.1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(none, "::1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(none, "::ffff:93.184.216.34", REASON_ADDRESS_FORBIDDEN, NULL);

	_cleanup_free_ struct fixture *f =
		fixture_new(LIST(), LIST(), LIST("10.1.0.0/16", "172.16.0.1", "fd00::/8", "64:ff9b::/96"));
	expect_address(f, "10.1.255.255", REASON_ALLOWED, "10.1.0.0/16");
	expect_address(f, "10.2.0.0", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(f, "172.16.0.1", REASON_ALLOWED, "172.16.0.1");
	expect_address(f, "172.16.0.2", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(f, "fd12::1", REASON_ALLOWED, "fd00::/8");
	expect_address(f, "fc12::1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(f, "64:ff9b::10.1.0.1", REASON_ALLOWED, "64:ff9b::/96");
	expect_address(f, "::ffff:10.1.0.1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(f, "::10.1.0.1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(f, "93.184.216.34", REASON_ALLOWED, NULL);
}

/* All of one family opens nothing of the other, whatever way it is written. */
static void test_families(void **state)
{
	(void) state;
	_cleanup_free_ struct fixture *four = fixture_new(LIST(), LIST(), LIST("0.0.0.0/0"));
	expect_address(four, "127.0.0.1", REASON_ALLOWED, "0.0.0.0/0");
	expect_address(four, "::1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(four, "::ffff:127.0.0.1", REASON_ADDRESS_FORBIDDEN, NULL);

	_cleanup_free_ struct fixture *six = fixture_new(LIST(), LIST(), LIST("::/0"));
	expect_address(six, "::1", REASON_ALLOWED, "::/0");
	expect_address(six, "127.0.0.1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(six, "::ffff:127.0.0.1", REASON_ADDRESS_FORBIDDEN, NULL);
	expect_address(six, "::ffff:93.184.216.34", REASON_ADDRESS_FORBIDDEN, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_deny),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
