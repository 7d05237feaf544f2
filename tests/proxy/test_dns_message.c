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
#include "base/text.h"
#include "proxy/dns_message.h"
#include "tests/base/guard.h"
#include "tests/proxy/dns.h"

#define ID 0x1234

static const char *const verdicts[] = { "addresses", "none", "silent", "failed" };

/* "addresses ttl=60 198.51.100.1 ..." */
static const char *say(const struct dns_answer *answer)
{
	static char buf[512];
	struct text text = text_init(buf, sizeof(buf));
	text_add(&text, "%s", verdicts[answer->verdict]);
	if (answer->has_ttl)
		text_add(&text, " ttl=%u", answer->ttl_s);
	for (int i = 0; i < answer->n; i++) {
		char address[ADDRESS_TEXT_MAX];
		address_format(&answer->addresses[i], address);
		text_add(&text, " %s", address);
	}
	return buf;
}

/* What message means as the answer to "www.a.test", and that every part of it that lacks its end means nothing else. */
static const char *read_answer(enum dns_type type, const struct message *message)
{
	uint8_t query[DNS_QUERY_MAX];
	struct dns_answer answer;
	size_t len = dns_write_query("www.a.test", type, ID, query);
	for (size_t n = 0; n < message->len; n++) {
		dns_parse_answer((const uint8_t *) guarded((const char *) message->bytes, n), n, query, len, &answer);
		assert_in_range(answer.verdict, DNS_ADDRESSES, DNS_FAILED);
		assert_true(answer.n == 0 || answer.verdict == DNS_ADDRESSES);
	}
	const char *whole = guarded((const char *) message->bytes, message->len);
	dns_parse_answer((const uint8_t *) whole, message->len, query, len, &answer);
	return say(&answer);
}

static void test_query(void **state)
{
	(void) state;
	static const uint8_t expected[] = "\x12\x34\x01\x00\0\1\0\0\0\0\0\0\3www\1a\4test\0\0\x1c\0\1";
	uint8_t query[DNS_QUERY_MAX];
	assert_int_equal(dns_write_query("www.a.test", DNS_AAAA, ID, query), sizeof(expected) - 1);
	assert_memory_equal(query, expected, sizeof(expected) - 1);
}

static void test_names(void **state)
{
	(void) state;
	char label63[64], name253[254];
	uint8_t query[DNS_QUERY_MAX];
	memset(label63, 'a', 63);
	label63[63] = '\0';
	(void) snprintf(name253, sizeof(name253), "%s.%s.%s.%.61s", label63, label63, label63, label63);
	assert_int_equal(strlen(name253), 253);
	assert_int_equal(dns_write_query(name253, DNS_A, ID, query), DNS_QUERY_MAX);
	name253[127] = 'a'; /* one label of 127 */
	assert_int_equal(dns_write_query(name253, DNS_A, ID, query), 0);
	char name254[255];
	(void) snprintf(name254, sizeof(name254), "%s.%s.%s.%.62s", label63, label63, label63, label63);
	assert_int_equal(dns_write_query(name254, DNS_A, ID, query), 0);
	assert_int_equal(dns_write_query("", DNS_A, ID, query), 0);
	assert_int_equal(dns_write_query("a..b", DNS_A, ID, query), 0);
	assert_int_equal(dns_write_query("a.", DNS_A, ID, query), 0);
}

/* A record as text: "owner type ttl data", with a CNAME's or NS's name, an address, or a SOA's minimum as data. */
struct row {
	const char *why;
	unsigned flags;
	const char *answers[12];
	const char *authorities[4];
	const char *expected;
};

#define NXDOMAIN 0x8183
#define NOERROR 0x8180

static const struct row rows[] = {
	{ "an address", NOERROR, { "www.a.test A 60 198.51.100.1" }, { 0 }, "addresses ttl=60 198.51.100.1" },
	{ "several, of which one goes first", NOERROR,
		{ "www.a.test A 60 198.51.100.1", "WWW.A.Test A 5 198.51.100.2", "www.a.test A 70 198.51.100.1" },
		{ 0 }, "addresses ttl=5 198.51.100.1 198.51.100.2" },
	{ "an alias that goes first", NOERROR, { "www.a.test CNAME 3 b.test", "b.test A 60 198.51.100.1" }, { 0 },
		"addresses ttl=3 198.51.100.1" },
	{ "an alias that stays longer", NOERROR, { "www.a.test CNAME 300 b.test", "b.test A 60 198.51.100.1" }, { 0 },
		"addresses ttl=60 198.51.100.1" },
	{ "aliases in whatever order", NOERROR,
		{ "c.test A 60 198.51.100.1", "b.test CNAME 60 c.test", "www.a.test CNAME 60 b.test" }, { 0 },
		"addresses ttl=60 198.51.100.1" },
	{ "eight aliases", NOERROR,
		{ "www.a.test CNAME 9 b", "b CNAME 9 c", "c CNAME 9 d", "d CNAME 9 e", "e CNAME 9 f", "f CNAME 9 g",
			"g CNAME 9 h", "h CNAME 9 i", "i A 9 198.51.100.1" },
		{ 0 }, "addresses ttl=9 198.51.100.1" },
	{ "nine aliases", NOERROR,
		{ "www.a.test CNAME 9 b", "b CNAME 9 c", "c CNAME 9 d", "d CNAME 9 e", "e CNAME 9 f", "f CNAME 9 g",
			"g CNAME 9 h", "h CNAME 9 i", "i CNAME 9 j", "j A 9 198.51.100.1" },
		{ 0 }, "failed" },
	{ "aliases of each other", NOERROR, { "www.a.test CNAME 9 b.test", "b.test CNAME 9 www.a.test" }, { 0 },
		"failed" },
	{ "an alias of itself", NOERROR, { "www.a.test CNAME 9 www.a.test" }, { 0 }, "failed" },
	{ "an alias of nothing", NOERROR, { "www.a.test CNAME 9 b.test" }, { "test SOA 60 30" }, "none ttl=9" },
	{ "another's address", NOERROR, { "www.b.test A 60 198.51.100.1" }, { 0 }, "none" },
	{ "the name above", NOERROR, { "a.test A 60 198.51.100.1" }, { 0 }, "none" },
	{ "another family", NOERROR, { "www.a.test AAAA 60 2001:db8::1" }, { 0 }, "none" },
	{ "another class", NOERROR, { "www.a.test CH 60 198.51.100.1" }, { 0 }, "none" },
	{ "no such name", NXDOMAIN, { 0 }, { "test SOA 600 30" }, "none ttl=30" },
	{ "no such name, and the record goes first", NXDOMAIN, { 0 }, { "test SOA 20 30" }, "none ttl=20" },
	{ "no such name, for how long is not said", NXDOMAIN, { 0 }, { 0 }, "none" },
	{ "no such name, says a server that names others", NXDOMAIN, { 0 }, { "test NS 60 ns.test" }, "none" },
	{ "no such name, but an address", NXDOMAIN, { "www.a.test A 60 198.51.100.1" }, { "test SOA 60 30" },
		"none ttl=30" },
	{ "nothing of this type", NOERROR, { 0 }, { "test NS 60 ns.test", "test SOA 60 30" }, "none ttl=30" },
	{ "ask others", NOERROR, { 0 }, { "test NS 60 ns.test" }, "failed" },
	{ "time to live 0", NOERROR, { "www.a.test A 0 198.51.100.1" }, { 0 }, "addresses ttl=0 198.51.100.1" },
	{ "time to live below 0", NOERROR, { "www.a.test A 2147483648 198.51.100.1" }, { 0 },
		"addresses ttl=0 198.51.100.1" },
	{ "time to live of 68 years", NOERROR, { "www.a.test A 2147483647 198.51.100.1" }, { 0 },
		"addresses ttl=2147483647 198.51.100.1" },
	{ "FORMERR", 0x8181, { "www.a.test A 60 198.51.100.1" }, { 0 }, "failed" },
	{ "SERVFAIL", 0x8182, { 0 }, { 0 }, "failed" },
	{ "REFUSED", 0x8185, { 0 }, { "test SOA 60 30" }, "failed" },
	{ "truncated, with an address", 0x8380, { "www.a.test A 60 198.51.100.1" }, { 0 },
		"addresses ttl=60 198.51.100.1" },
	{ "truncated, with nothing", 0x8380, { 0 }, { 0 }, "failed" },
	{ "a question", 0x0100, { "www.a.test A 60 198.51.100.1" }, { 0 }, "failed" },
	{ "another operation", 0xa180, { "www.a.test A 60 198.51.100.1" }, { 0 }, "failed" },
};

static void test_answers(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct message message;
		message_begin(&message, ID, row->flags, "www.a.test", DNS_A);
		for (int j = 0; row->answers[j]; j++)
			message_add_text(&message, MESSAGE_ANSWERS, row->answers[j]);
		for (int j = 0; row->authorities[j]; j++)
			message_add_text(&message, MESSAGE_AUTHORITIES, row->authorities[j]);
		const char *got = read_answer(DNS_A, &message);
		if (strcmp(got, row->expected) != 0)
			fail_msg("%s: got %s, expected %s", row->why, got, row->expected);
	}
}

static void test_aaaa(void **state)
{
	(void) state;
	struct message message;
	message_begin(&message, ID, NOERROR, "www.a.test", DNS_AAAA);
	message_add_text(&message, MESSAGE_ANSWERS, "www.a.test AAAA 60 2001:db8::1");
	message_add_text(&message, MESSAGE_ANSWERS, "www.a.test A 1 198.51.100.1");
	assert_string_equal(read_answer(DNS_AAAA, &message), "addresses ttl=60 2001:db8::1");
}

static void test_other_questions(void **state)
{
	(void) state;
	static const struct {
		unsigned id;
		const char *name;
		enum dns_type type;
	} others[] = {
		{ ID + 1, "www.a.test", DNS_A },
		{ ID, "www.b.test", DNS_A },
		{ ID, "www.a.test.test", DNS_A },
		{ ID, "www.a.test", DNS_AAAA },
	};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct message message;
		message_begin(&message, others[i].id, NOERROR, others[i].name, others[i].type);
		message_add_text(&message, MESSAGE_ANSWERS, "www.a.test A 60 198.51.100.1");
		assert_string_equal(read_answer(DNS_A, &message), "failed");
	}
	/* no question at all, and two */
	for (uint8_t n = 0; n < 3; n++) {
		struct message message;
		message_begin(&message, ID, NOERROR, "WWW.a.TEST", DNS_A);
		message_add_text(&message, MESSAGE_ANSWERS, "www.a.test A 60 198.51.100.1");
		message.bytes[5] = n;
		assert_string_equal(read_answer(DNS_A, &message), n == 1 ? "addresses ttl=60 198.51.100.1" : "failed");
	}
}

static void test_ten_thousand_records(void **state)
{
	(void) state;
	struct message message;
	message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
	for (unsigned i = 0; i < 4000; i++) {
		uint8_t address[4] = { 198, 51, (uint8_t) (i >> 8), (uint8_t) i };
		message_add(&message, MESSAGE_ANSWERS, NULL, DNS_A, 60, address, 4);
	}
	message.bytes[6] = 10000 >> 8; /* counts lie */
	message.bytes[7] = 10000 & 0xff;
	uint8_t query[DNS_QUERY_MAX];
	struct dns_answer answer;
	size_t len = dns_write_query("www.a.test", DNS_A, ID, query);
	dns_parse_answer(message.bytes, message.len, query, len, &answer);
	assert_int_equal(answer.verdict, DNS_ADDRESSES);
	assert_int_equal(answer.n, DNS_ADDRESSES_MAX);
	/* what is behind is not looked at: neither an address nor that there is none */
	message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
	for (unsigned i = 0; i < DNS_RECORDS_MAX; i++)
		message_add_text(&message, MESSAGE_ANSWERS, "b.test A 60 198.51.100.1");
	message_add_text(&message, MESSAGE_ANSWERS, "www.a.test A 60 198.51.100.1");
	dns_parse_answer(message.bytes, message.len, query, len, &answer);
	assert_int_equal(answer.verdict, DNS_FAILED);
}

/* Names of records as they are in the message: behind a header and the question, which is at 12. */
static void test_pointers(void **state)
{
	(void) state;
#define A_RECORD "\0\1\0\1\0\0\0\74\0\4\306\63\144\1"
#define GOOD "addresses ttl=60 198.51.100.1"
	static const struct {
		const char *bytes;
		size_t len;
		const char *expected;
	} names[] = {
#define BYTES(text) text A_RECORD, sizeof(text A_RECORD) - 1
		{ BYTES("\300\14"), GOOD },          /* to the question */
		{ BYTES("\3wWw\300\20"), GOOD },     /* to within it */
		{ BYTES("\3www\1a\300\22"), GOOD },  /* */
		{ BYTES("\3www\1a\4test\0"), GOOD }, /* none */
		{ BYTES("\300\34"), "failed" },      /* to itself: the question ends at 28 */
		{ BYTES("\300\36"), "failed" },      /* ahead */
		{ BYTES("\3www\300\34"), "failed" }, /* to the name's own beginning */
		{ BYTES("\377\377"), "failed" },     /* beyond the end */
		{ BYTES("\300\0"), "failed" },       /* into the header, which is no name */
		{ BYTES("\100a"), "failed" },        /* label types that are none */
		{ BYTES("\200\14"), "failed" },
		{ BYTES("\77"), "failed" },              /* a label that is longer than the message */
		{ BYTES("\3www\3a.t\3est\0"), "none" },  /* a dot in a label */
		{ BYTES("\11www\0a.tes\1t\0"), "none" }, /* a NUL in a label */
		{ BYTES("\12www.a.test\0"), "none" },    /* dots in a label */
		{ BYTES("\0"), "none" },                 /* the root */
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct message message;
		message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
		assert_int_equal(message.len, 12 + 12 + 4);
		memcpy(message.bytes + message.len, names[i].bytes, names[i].len);
		message.len += names[i].len;
		message.bytes[7] = 1;
		const char *got = read_answer(DNS_A, &message);
		if (strcmp(got, names[i].expected) != 0)
			fail_msg("name %zu: got %s, expected %s", i, got, names[i].expected);
	}
}

/* Pointers to pointers: each leads further ahead, so that their number is the message's length. */
static void test_a_chain_of_pointers(void **state)
{
	(void) state;
	struct message message;
	message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
	uint8_t chain[8000];
	chain[0] = 0xc0;
	chain[1] = 12;
	size_t start = message.len + 1 + 10; /* behind the head of the record that has the chain as its data */
	for (size_t i = 2; i < sizeof(chain); i += 2) {
		size_t to = start + i - 2;
		chain[i] = (uint8_t) (0xc0 | to >> 8);
		chain[i + 1] = (uint8_t) to;
	}
	message_add(&message, MESSAGE_ANSWERS, "", 16, 60, chain, sizeof(chain));
	size_t last = start + sizeof(chain) - 2;
	const uint8_t record[] = { (uint8_t) (0xc0 | last >> 8), (uint8_t) last, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51,
		100, 1 };
	memcpy(message.bytes + message.len, record, sizeof(record));
	message.len += sizeof(record);
	message.bytes[7]++;
	uint8_t query[DNS_QUERY_MAX];
	struct dns_answer answer;
	size_t len = dns_write_query("www.a.test", DNS_A, ID, query);
	dns_parse_answer(message.bytes, message.len, query, len, &answer);
	assert_string_equal(say(&answer), "failed"); /* none that a server would send */
}

static void test_lengths_that_lie(void **state)
{
	(void) state;
	struct message message;
	for (size_t len = 0; len < 20; len++) {
		uint8_t data[20] = { 198, 51, 100, 1 };
		message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
		message_add(&message, MESSAGE_ANSWERS, NULL, DNS_A, 60, data, len);
		assert_string_equal(read_answer(DNS_A, &message), len == 4 ? GOOD : "failed");
	}
	/* an alias and a SOA that end before or behind their data do */
	message_begin(&message, ID, NOERROR, "www.a.test", DNS_A);
	message_add(&message, MESSAGE_ANSWERS, NULL, 5, 60, (const uint8_t *) "\1b\0junk", 7);
	assert_string_equal(read_answer(DNS_A, &message), "failed");
	message_begin(&message, ID, NXDOMAIN, "www.a.test", DNS_A);
	message_add(&message, MESSAGE_AUTHORITIES, "test", 6, 60, (const uint8_t *) "\0\0\0\0\0\1\0\0\0\1\0\0\0\1", 14);
	assert_string_equal(read_answer(DNS_A, &message), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_aaaa),
		cmocka_unit_test(test_other_questions),
		cmocka_unit_test(test_ten_thousand_records),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_a_chain_of_pointers),
		cmocka_unit_test(test_lengths_that_lie),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
