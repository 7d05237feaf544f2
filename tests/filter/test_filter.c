/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

/* An image laid out by hand, independent of the compiler: one group with all hosts, all text behind them. */
struct fixture {
	struct image image;
	uint16_t ports[2];
	struct image_group groups[2];
	uint32_t hosts[2048]; /* bytes, but aligned */
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

/* An entry, parsed. */
struct given {
	enum image_list list;
	enum image_rule_kind kind;
	const char *text;
	const char *key;
	size_t key_len;
	struct host host;
	uint16_t port;
	uint32_t line;
};

static struct given parse(enum image_list list, const char *entry, uint32_t line)
{
	struct given given = { .list = list, .text = entry, .line = line };
	bool wildcard = strncmp(entry, "*.", 2) == 0;
	const char *from = wildcard ? entry + 2 : entry;
	assert_null(host_parse_authority(from, strlen(from), false, &given.host, &given.port));
	bool four = given.host.address.family == AF_INET;
	if (given.host.kind == HOST_NAME)
		given.kind = wildcard ? IMAGE_RULE_WILDCARD : IMAGE_RULE_NAME;
	else
		given.kind = four ? IMAGE_RULE_ADDRESS4 : IMAGE_RULE_ADDRESS6;
	given.key_len = given.host.kind == HOST_NAME ? given.host.len : four ? 4 : 16;
	return given;
}

static const void *key_of(const struct given *given)
{
	return given->host.kind == HOST_NAME ? (const void *) given->host.name : given->host.address.bytes;
}

static bool same_host(const struct given *a, const struct given *b)
{
	return a->kind == b->kind && a->key_len == b->key_len && memcmp(key_of(a), key_of(b), a->key_len) == 0;
}

static uint32_t hash_of(const struct given *given)
{
	return image_hash(given->kind, key_of(given), given->key_len);
}

static int compare_given(const void *pa, const void *pb)
{
	const struct given *a = pa, *b = pb;
	int order = (int) image_bucket(hash_of(a), 2) - (int) image_bucket(hash_of(b), 2);
	if (order)
		return order;
	return a->list != b->list ? (int) a->list - (int) b->list : a->port - b->port;
}

/* The host of given[0], with all its rules; at is where. Returns where it ends. */
static uint32_t add_host(struct fixture *f, uint32_t at, const struct given *given, size_t n)
{
	struct image_host *host = (void *) ((char *) f + at);
	host->kind = (uint8_t) given->kind;
	host->key_len = (uint8_t) given->key_len;
	memcpy(host->bytes, "*.", given->kind == IMAGE_RULE_WILDCARD ? 2 : 0);
	memcpy(host->bytes + (given->kind == IMAGE_RULE_WILDCARD ? 2 : 0), key_of(given), given->key_len);
	at += image_host_head(host->kind, host->key_len);
	for (size_t i = 0; i < n; i++) {
		if (!same_host(given, &given[i]))
			continue;
		struct image_rule *rule = (void *) ((char *) f + at);
		*rule = (struct image_rule){ given[i].line, given[i].port, (uint16_t) given[i].list,
			add_text(f, given[i].text, strlen(given[i].text)) };
		host->n_rules++;
		at += (uint32_t) sizeof(*rule);
	}
	return at;
}

static void add_rules(struct fixture *f, const char *const allow[], const char *const deny[])
{
	struct given given[128];
	size_t n = 0;
	for (uint32_t i = 0; allow[i]; i++)
		given[n++] = parse(IMAGE_LIST_ALLOW, allow[i], i + 1);
	for (uint32_t i = 0; deny[i]; i++)
		given[n++] = parse(IMAGE_LIST_DENY, deny[i], i + 1);
	assert_true(n < ARRAY_SIZE(given));
	qsort(given, n, sizeof(*given), compare_given);

	struct image_group *group = f->groups;
	uint32_t start = offset_in(f, f->hosts), at = start, bucket = 0;
	for (size_t i = 0, k; i < n; i++) {
		uint32_t hash = hash_of(&given[i]);
		while (bucket <= image_bucket(hash, 2))
			group->at[bucket++] = (uint16_t) ((at - start) / 4);
		group->tags[bucket - 1] |= image_tag(hash);
		for (k = 0; k < i && !same_host(&given[k], &given[i]); k++)
			;
		if (k == i)
			at = add_host(f, at, &given[i], n - i);
		assert_true(at < start + sizeof(f->hosts));
	}
	while (bucket < IMAGE_GROUP)
		group->at[bucket++] = (uint16_t) ((at - start) / 4);
	group[0].start = start;
	group[1].start = at;
	f->image.groups = (struct image_table){ offset_in(f, f->groups), 2 };
	f->image.unit = 4;
}

static struct fixture *fixture_new(const char *const allow[], const char *const deny[], const char *const networks[])
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->image.size = sizeof(*f);
	f->ports[0] = 80;
	f->ports[1] = 443;
	f->image.ports = (struct image_table){ offset_in(f, f->ports), 2 };
	add_rules(f, allow, deny);

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
	char names[64 - 1][16];
	const char *entries[64];
	for (size_t n = 0; n < 64; n++) {
		entries[n] = NULL;
		_cleanup_free_ struct fixture *f = fixture_new(entries, LIST(), LIST());
		for (size_t i = 0; i < 64 - 1; i++) {
			char target[32];
			(void) snprintf(target, sizeof(target), "n%zu.test:443", i);
			char name[16];
			(void) snprintf(name, sizeof(name), "n%zu.test", i);
			bool there = false;
			for (size_t k = 0; k < n; k++)
				there = there || strcmp(names[k], name) == 0;
			expect(f, target, there ? REASON_ALLOWED : REASON_NOT_LISTED, there ? name : NULL);
		}
		if (n < 64 - 1) {
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

/* An image that is not what it says must neither allow nor be read past its end, which the sanitizer watches. */
static void test_broken(void **state)
{
	(void) state;
	struct fixture *f = fixture_new(LIST("a.test", "*.b.test"), LIST(), LIST());
	expect(f, "a.test:443", REASON_ALLOWED, "a.test");
	struct image_group group[2];
	memcpy(group, f->groups, sizeof(group));

	uint32_t bucket = image_bucket(image_hash(IMAGE_RULE_NAME, "a.test", 6), 2);
	struct image_host *host = (void *) ((char *) f + group[0].start + group[0].at[bucket] * 4u);
	assert_int_equal(host->key_len, 6);
	struct image_rule *rule = (void *) ((char *) host + image_host_head(host->kind, host->key_len));

	f->groups[0].start = UINT32_MAX - 3;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	f->groups[0].start = 4;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	f->groups[0].start = group[0].start + 1;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	memcpy(f->groups, group, sizeof(group));
	f->image.unit = 1u << 31;
	memset(f->groups[0].at, 0xff, sizeof(f->groups[0].at));
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	f->image.unit = 4;
	memcpy(f->groups, group, sizeof(group));
	memset(f->groups[0].tags, 0, sizeof(f->groups[0].tags));
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	memcpy(f->groups, group, sizeof(group));

	host->n_rules = UINT32_MAX;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	host->n_rules = 0;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	host->n_rules = 1;
	host->key_len = 255;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	host->key_len = 6;
	struct image_text text = rule->text;
	rule->text.offset = f->image.size;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	rule->text = (struct image_text){ text.offset, f->image.size - text.offset };
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	rule->text = text;
	f->image.groups.count = 1;
	expect(f, "a.test:443", REASON_NOT_LISTED, NULL);
	f->image.groups.count = 2;
	expect(f, "a.test:443", REASON_ALLOWED, "a.test");
	free(f);
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
		cmocka_unit_test(test_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
