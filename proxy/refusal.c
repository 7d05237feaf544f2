/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/refusal.h"

#include <string.h>

#include "proxy/filter.h"

static void add_string(struct text *text, struct image_text string, const struct image *image)
{
	text_add_json(text, image_string(image, string), string.len);
}

static bool is_policy_port(const struct image *image, uint16_t port)
{
	const uint16_t *ports = image_records(image, image->ports);
	for (uint32_t i = 0; i < image->ports.count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static void add_host(struct text *text, const struct host *host)
{
	bool six = host->kind == HOST_ADDRESS && host->address.family == AF_INET6;
	text_add(text, six ? "[%s]" : "%s", host->name);
}

/* The entry of allow that lets exactly this through. */
static void add_entry(struct text *text, const struct refusal *refusal)
{
	char buf[HOST_NAME_MAX_LEN + sizeof("[]:65535")];
	struct text entry = text_init(buf, sizeof(buf));
	add_host(&entry, refusal->host);
	if (!is_policy_port(refusal->image, refusal->port))
		text_add(&entry, ":%u", (unsigned) refusal->port);
	text_add_json(text, entry.buf, entry.len);
}

static void add_networks(struct text *text, const struct address *address, const char *between)
{
	char buf[NETWORK_TEXT_MAX];
	text_add(text, "\"networks\":%s[", between);
	const struct network network = { .base = *address, .prefix = address->family == AF_INET ? 32 : 128 };
	network_format(&network, buf);
	text_add_json(text, buf, strlen(buf));
	text_add(text, "]");
}

/* The address that networks would have to open, as far as the reader knows it. No entry opens an IPv4-mapped one. */
static const struct address *forbidden_address(const struct refusal *refusal)
{
	const struct address *address = refusal->forbidden;
	if (!address && refusal->host->kind == HOST_ADDRESS)
		address = &refusal->host->address;
	return address && !address_is_mapped(address) ? address : NULL;
}

static void add_allow(struct text *text, const struct refusal *refusal, const char *between)
{
	const struct host *host = refusal->host;
	text_add(text, "\"allow\":%s[", between);
	add_entry(text, refusal);
	text_add(text, "]");
	/* a listed address of the floor is of no use, and a mistake, without */
	if (host->kind == HOST_ADDRESS &&
		filter_check_address(refusal->image, &host->address, NULL) != REASON_ALLOWED) {
		text_add(text, ",%s", between);
		add_networks(text, &host->address, between);
	}
}

/* "KEY":["ENTRY"], with what there is between the two. False: there is no such line. */
static bool add_line(struct text *text, const struct refusal *refusal, const char *between)
{
	if (!refusal->host)
		return false;
	switch (refusal->reason) {
	case REASON_NOT_LISTED:
	case REASON_PORT_NOT_LISTED:
		add_allow(text, refusal, between);
		return true;
	case REASON_ADDRESS_FORBIDDEN:
		if (forbidden_address(refusal))
			add_networks(text, forbidden_address(refusal), between);
		return forbidden_address(refusal) != NULL;
	default:
		return false;
	}
}

bool refusal_add_fix(struct text *text, const struct refusal *refusal)
{
	char buf[REFUSAL_TEXT_MAX];
	struct text line = text_init(buf, sizeof(buf));
	if (!add_line(&line, refusal, ""))
		return false;
	text_add(text, "{%s}", line.buf);
	return true;
}

bool refusal_add_advice(struct text *text, const struct refusal *refusal)
{
	char buf[REFUSAL_TEXT_MAX];
	struct text line = text_init(buf, sizeof(buf));
	if (add_line(&line, refusal, " ")) {
		text_add(text, "To allow it: %s in policy ", line.buf);
	} else if (refusal->reason == REASON_DENIED && refusal->rule) {
		text_add(text, "To allow it: take ");
		add_string(text, refusal->rule->text, refusal->image);
		text_add(text, " out of \"deny\" in policy ");
	} else {
		return false;
	}
	add_string(text, refusal->image->name, refusal->image);
	text_add(text, ".");
	return true;
}

bool refusal_add_subject(struct text *text, const struct refusal *refusal)
{
	if (!refusal->host)
		return false;
	add_host(text, refusal->host);
	text_add(text, ":%u", (unsigned) refusal->port);
	if (refusal->rule) {
		text_add(text, ", entry ");
		add_string(text, refusal->rule->text, refusal->image);
	}
	text_add(text, ". ");
	(void) refusal_add_advice(text, refusal);
	return true;
}

void refusal_add_sentence(struct text *text, const struct refusal *refusal)
{
	text_add(text, "%s%s%s", reason_sentence(refusal->reason), refusal->problem ? " " : "",
		refusal->problem ? refusal->problem : "");
}

static void add_member(struct text *text, const char *name)
{
	text_add(text, ",\"%s\":", name);
}

void refusal_add_json(struct text *text, const struct refusal *refusal)
{
	char buf[REFUSAL_TEXT_MAX];
	struct text message = text_init(buf, sizeof(buf));
	refusal_add_sentence(&message, refusal);

	text_add(text, "{\"error\":\"%s\"", reason_code(refusal->reason));
	add_member(text, "message");
	text_add_json(text, message.buf, message.len);
	if (refusal->host) {
		add_member(text, "host");
		text_add_json(text, refusal->host->name, refusal->host->len);
		add_member(text, "port");
		text_add(text, "%u", (unsigned) refusal->port);
		add_member(text, "policy");
		add_string(text, refusal->image->name, refusal->image);
	}
	if (refusal->host && refusal->rule) {
		add_member(text, "rule");
		add_string(text, refusal->rule->text, refusal->image);
	}
	struct text fix = text_init(buf, sizeof(buf));
	if (refusal_add_fix(&fix, refusal)) {
		add_member(text, "fix");
		text_add_bytes(text, fix.buf, fix.len);
	}
	text_add(text, "}");
}
