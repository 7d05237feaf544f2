/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages to answer with (RFC 1035 section 4): written here and read there by different code. */
#pragma once

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
	size_t len;
	uint8_t bytes[65535];
};

/* Where in the header the counts are. */
enum message_section {
	MESSAGE_ANSWERS = 6,
	MESSAGE_AUTHORITIES = 8,
};

static inline void message_put(struct message *message, const void *bytes, size_t len)
{
	if (len > sizeof(message->bytes) - message->len)
		abort();
	memcpy(message->bytes + message->len, bytes, len);
	message->len += len;
}

static inline void message_put16(struct message *message, unsigned value)
{
	message_put(message, (const uint8_t[]){ (uint8_t) (value >> 8), (uint8_t) value }, 2);
}

static inline void message_put_name(struct message *message, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		message_put(message, &(const uint8_t){ (uint8_t) n }, 1);
		message_put(message, name, n);
		name += n + (name[n] == '.');
	}
	message_put(message, "", 1);
}

static inline void message_begin(
	struct message *message, unsigned id, unsigned flags, const char *question, unsigned type)
{
	message->len = 0;
	message_put16(message, id);
	message_put16(message, flags);
	message_put16(message, 1);
	message_put(message, "\0\0\0\0\0", 6);
	message_put_name(message, question);
	message_put16(message, type);
	message_put16(message, 1);
}

/* owner NULL: the name that was asked for, by a pointer. */
static inline void message_add(struct message *message, enum message_section section, const char *owner, unsigned type,
	uint32_t ttl_s, const void *data, size_t len)
{
	unsigned n = (unsigned) (message->bytes[section] << 8 | message->bytes[section + 1]) + 1;
	message->bytes[section] = (uint8_t) (n >> 8);
	message->bytes[section + 1] = (uint8_t) n;
	if (owner)
		message_put_name(message, owner);
	else
		message_put16(message, 0xc00c);
	message_put16(message, type & 0xffff);
	message_put16(message, type >> 16 ? type >> 16 : 1); /* the class */
	message_put16(message, ttl_s >> 16);
	message_put16(message, ttl_s & 0xffff);
	message_put16(message, (unsigned) len);
	message_put(message, data, len);
}

/* "owner type ttl data", with a CNAME's or NS's name, an address, or a SOA's minimum as data. CH: an A of that class.
 */
static inline void message_add_text(struct message *message, enum message_section section, const char *record)
{
	char owner[256], type[8], data[256];
	unsigned ttl_s;
	uint8_t address[16];
	struct message name = { 0 };
	if (sscanf(record, "%255s %7s %u %255s", owner, type, &ttl_s, data) != 4)
		abort();
	if (strcmp(type, "A") == 0 || strcmp(type, "CH") == 0) {
		if (inet_pton(AF_INET, data, address) != 1)
			abort();
		message_add(message, section, owner, type[0] == 'A' ? 1 : 3 << 16 | 1, ttl_s, address, 4);
	} else if (strcmp(type, "AAAA") == 0) {
		if (inet_pton(AF_INET6, data, address) != 1)
			abort();
		message_add(message, section, owner, 28, ttl_s, address, 16);
	} else if (strcmp(type, "SOA") == 0) {
		message_put_name(&name, "ns.test");
		message_put_name(&name, "who.test");
		message_put(&name, "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0", 18);
		message_put16(&name, (unsigned) atoi(data));
		message_add(message, section, owner, 6, ttl_s, name.bytes, name.len);
	} else {
		message_put_name(&name, data);
		message_add(message, section, owner, strcmp(type, "NS") == 0 ? 2 : 5, ttl_s, name.bytes, name.len);
	}
}
