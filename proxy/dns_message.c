/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/dns_message.h"

#include <string.h>

#define HEADER_LEN 12
#define NAME_MAX_LEN 255 /* RFC 1035 section 2.3.4, with the lengths of labels and the root's */
#define LABEL_MAX_LEN 63
#define POINTERS_MAX 127 /* as many as a name can have labels */

#define FLAG_RESPONSE 0x8000u
#define FLAG_TRUNCATED 0x0200u
#define FLAG_RECURSION_DESIRED 0x0100u
#define MASK_OPCODE 0x7800u
#define MASK_RCODE 0x000fu
#define RCODE_NXDOMAIN 3

#define CLASS_IN 1
#define TYPE_NS 2
#define TYPE_CNAME 5
#define TYPE_SOA 6

/* In lower case and without pointers, so that equal names have equal bytes. */
struct name {
	size_t len;
	uint8_t bytes[NAME_MAX_LEN];
};

struct message {
	const uint8_t *bytes;
	size_t len;
};

struct record {
	struct name owner;
	uint16_t type;
	uint32_t ttl_s;
	size_t data, data_len;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t) (p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t) get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t) (value >> 8);
	p[1] = (uint8_t) value;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t) (c + 32) : c;
}

/* Returns the number of bytes written, at most NAME_MAX_LEN; 0: it is no name. */
static size_t write_name(const char *name, uint8_t *to)
{
	size_t len = 0;
	for (;;) {
		const char *dot = strchrnul(name, '.');
		size_t label = (size_t) (dot - name);
		if (label == 0 || label > LABEL_MAX_LEN || len + 1 + label + 1 > NAME_MAX_LEN)
			return 0;
		to[len++] = (uint8_t) label;
		memcpy(to + len, name, label);
		len += label;
		if (!*dot)
			break;
		name = dot + 1;
	}
	to[len++] = 0;
	return len;
}

size_t dns_write_query(const char *name, enum dns_type type, uint16_t id, uint8_t buf[DNS_QUERY_MAX])
{
	size_t len = write_name(name, buf + HEADER_LEN);
	if (len == 0)
		return 0;
	memset(buf, 0, HEADER_LEN);
	put16(buf, id);
	put16(buf + 2, FLAG_RECURSION_DESIRED);
	put16(buf + 4, 1);
	put16(buf + HEADER_LEN + len, type);
	put16(buf + HEADER_LEN + len + 2, CLASS_IN);
	return HEADER_LEN + len + 4;
}

/*
 * The name at *at, which is moved behind it. A pointer leads to before the labels that it ends (RFC 1035 section 4.1.4:
 * "a prior occurrence"), so there are no loops.
 */
static bool read_name(const struct message *message, size_t *at, struct name *ret)
{
	const uint8_t *bytes = message->bytes;
	size_t from = *at, p = *at, len = 0;
	unsigned pointers = 0;
	for (;;) {
		if (p >= message->len)
			return false;
		uint8_t label = bytes[p];
		if (label > LABEL_MAX_LEN) {
			if (label < 0xc0 || message->len - p < 2)
				return false;
			if (pointers == 0)
				*at = p + 2;
			if (++pointers > POINTERS_MAX)
				return false;
			p = get16(bytes + p) & 0x3fffu;
			if (p >= from)
				return false;
			from = p;
			continue;
		}
		if (message->len - p <= label || len + 1 + label > NAME_MAX_LEN)
			return false;
		ret->bytes[len++] = label;
		for (size_t i = 1; i <= label; i++)
			ret->bytes[len++] = lower(bytes[p + i]);
		p += 1u + label;
		if (label == 0)
			break;
	}
	if (pointers == 0)
		*at = p;
	ret->len = len;
	return true;
}

static bool is_same(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* The record at *at, which is moved behind it. One of another class is of no type that anybody looks for. */
static bool read_record(const struct message *message, size_t *at, struct record *ret)
{
	if (!read_name(message, at, &ret->owner) || message->len - *at < 10)
		return false;
	const uint8_t *p = message->bytes + *at;
	*at += 10;
	ret->type = get16(p + 2) == CLASS_IN ? get16(p) : 0;
	uint32_t ttl_s = get32(p + 4);
	ret->ttl_s = ttl_s > INT32_MAX ? 0 : ttl_s; /* RFC 2181 section 8 */
	ret->data = *at;
	ret->data_len = get16(p + 8);
	if (ret->data_len > message->len - *at)
		return false;
	*at += ret->data_len;
	return true;
}

static void shorten_ttl(struct dns_answer *answer, uint32_t ttl_s)
{
	if (ttl_s < answer->ttl_s)
		answer->ttl_s = ttl_s;
}

static bool add_address(struct dns_answer *answer, const struct message *message, const struct record *record)
{
	struct address address = { .family = record->type == DNS_A ? AF_INET : AF_INET6 };
	size_t len = record->type == DNS_A ? 4 : 16;
	if (record->data_len != len)
		return false;
	memcpy(address.bytes, message->bytes + record->data, len);
	shorten_ttl(answer, record->ttl_s);
	for (size_t i = 0; i < answer->n; i++)
		if (address_equal(&answer->addresses[i], &address))
			return true;
	if (answer->n < DNS_ADDRESSES_MAX)
		answer->addresses[answer->n++] = address;
	return true;
}

/* Looks through the answer section for name. *ret_alias is what it is an alias of, of length 0 where of none. */
static bool scan(const struct message *message, size_t at, unsigned n, const struct name *name, uint16_t type,
	struct dns_answer *answer, struct name *ret_alias)
{
	ret_alias->len = 0;
	for (unsigned i = 0; i < n; i++) {
		struct record record;
		if (!read_record(message, &at, &record))
			return false;
		if (!is_same(&record.owner, name))
			continue;
		if (record.type == type) {
			if (!add_address(answer, message, &record))
				return false;
		} else if (record.type == TYPE_CNAME) {
			size_t data = record.data;
			if (!read_name(message, &data, ret_alias) || data != record.data + record.data_len)
				return false;
			shorten_ttl(answer, record.ttl_s);
		}
	}
	return true;
}

/* From alias to alias, in whatever order they are. */
static bool find_addresses(const struct message *message, size_t at, unsigned n, const struct name *question,
	uint16_t type, struct dns_answer *answer)
{
	struct name name = *question;
	for (unsigned i = 0; i <= DNS_ALIASES_MAX; i++) {
		struct name alias;
		if (!scan(message, at, n, &name, type, answer, &alias))
			return false;
		if (answer->n > 0 || alias.len == 0)
			return true;
		name = alias;
	}
	return false;
}

/* *ret: the least of a SOA record's TTL and its last field (RFC 2308 section 5). */
static bool read_soa(const struct message *message, const struct record *record, uint32_t *ret)
{
	size_t at = record->data, end = record->data + record->data_len;
	struct name unused;
	if (!read_name(message, &at, &unused) || !read_name(message, &at, &unused) || at > end || end - at != 20)
		return false;
	uint32_t minimum_s = get32(message->bytes + at + 16);
	*ret = minimum_s < record->ttl_s ? minimum_s : record->ttl_s;
	return true;
}

/*
 * For how long there is nothing. A server that only names others has not answered (RFC 2308 section 2.2): it is asked
 * for recursion and does none.
 */
static bool find_soa(const struct message *message, size_t at, unsigned n, bool is_denied, struct dns_answer *answer)
{
	bool refers = false;
	for (unsigned i = 0; i < n && !answer->has_ttl; i++) {
		struct record record;
		uint32_t ttl_s;
		if (!read_record(message, &at, &record))
			return false;
		refers = refers || record.type == TYPE_NS;
		if (record.type != TYPE_SOA)
			continue;
		if (!read_soa(message, &record, &ttl_s))
			return false;
		shorten_ttl(answer, ttl_s);
		answer->has_ttl = true;
	}
	return answer->has_ttl || is_denied || !refers;
}

/* *at is moved to the first record. */
static bool is_answer_to(const struct message *message, const uint8_t *query, size_t query_len, struct name *ret_name,
	uint16_t *ret_type, size_t *at)
{
	const struct message asked = { .bytes = query, .len = query_len };
	const uint8_t *p = message->bytes;
	size_t asked_at = HEADER_LEN;
	struct name name;
	*at = HEADER_LEN;
	if (message->len < HEADER_LEN || query_len < HEADER_LEN || memcmp(p, query, 2) != 0)
		return false;
	if ((get16(p + 2) & (FLAG_RESPONSE | MASK_OPCODE)) != FLAG_RESPONSE || get16(p + 4) != 1)
		return false;
	if (!read_name(&asked, &asked_at, ret_name) || query_len - asked_at != 4)
		return false;
	if (!read_name(message, at, &name) || message->len - *at < 4 || !is_same(&name, ret_name) ||
		memcmp(p + *at, query + asked_at, 4) != 0)
		return false;
	*ret_type = get16(query + asked_at);
	*at += 4;
	return true;
}

bool dns_is_answer(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len)
{
	const struct message message = { .bytes = bytes, .len = len };
	struct name name;
	uint16_t type;
	size_t at;
	return is_answer_to(&message, query, query_len, &name, &type, &at);
}

bool dns_is_truncated(const uint8_t *bytes)
{
	return get16(bytes + 2) & FLAG_TRUNCATED;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool skip_records(const struct message *message, unsigned n, size_t *at)
{
	struct record unused;
	for (unsigned i = 0; i < n; i++)
		if (!read_record(message, at, &unused))
			return false;
	return true;
}

static bool parse(const struct message *message, const uint8_t *query, size_t query_len, struct dns_answer *answer)
{
	struct name name;
	uint16_t type;
	size_t at;
	if (!is_answer_to(message, query, query_len, &name, &type, &at))
		return false;
	const uint8_t *p = message->bytes;
	unsigned flags = get16(p + 2), rcode = flags & MASK_RCODE;
	unsigned n_answers = least(get16(p + 6), DNS_RECORDS_MAX), n_authorities = least(get16(p + 8), DNS_RECORDS_MAX);
	bool is_whole = !dns_is_truncated(p) && get16(p + 6) <= DNS_RECORDS_MAX;
	if (rcode != 0 && rcode != RCODE_NXDOMAIN)
		return false;
	if (!find_addresses(message, at, n_answers, &name, type, answer))
		return false;
	if (answer->n > 0 && rcode == 0) {
		answer->verdict = DNS_ADDRESSES;
		answer->has_ttl = true;
		return true;
	}
	answer->n = 0;
	answer->verdict = DNS_NONE;
	return is_whole && skip_records(message, n_answers, &at) &&
	       find_soa(message, at, n_authorities, rcode == RCODE_NXDOMAIN, answer);
}

void dns_parse_answer(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len, struct dns_answer *ret)
{
	const struct message message = { .bytes = bytes, .len = len };
	*ret = (struct dns_answer){ .ttl_s = UINT32_MAX };
	if (!parse(&message, query, query_len, ret))
		*ret = (struct dns_answer){ .verdict = DNS_FAILED };
	if (!ret->has_ttl)
		ret->ttl_s = 0;
}
