/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy image that somebody else made. What passes image_check() must be safe to read, and to ask: the filter must
 * stay inside whatever its groups and hosts say.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "oci/bouquet.h"
#include "oci/image.h"
#include "proxy/filter.h"

static volatile uint8_t seen;

static void read_bytes(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		seen ^= (uint8_t) bytes[i];
}

/* What has been checked: of the length that it says. */
static void read_text(const struct image *image, struct image_text text)
{
	if (strlen(image_string(image, text)) != text.len)
		abort();
}

/* Whatever the policy says, all of each variable is there. */
static void make_bouquet(const struct image *image)
{
	static struct bouquet bouquet;
	bouquet_make(image, (struct in_addr){ htonl(INADDR_LOOPBACK) }, 3128, &bouquet);
	bouquet_adopt(&bouquet, "JAVA_TOOL_OPTIONS=-Dx", strlen("JAVA_TOOL_OPTIONS=-Dx"));
	for (size_t i = 0; i < bouquet.n; i++)
		if (!bouquet_find(&bouquet, bouquet_text(&bouquet, i)))
			abort();
}

static void read_tables(const struct image *image)
{
	const uint16_t *ports = image_records(image, image->ports);
	const struct image_network *networks = image_records(image, image->networks);
	const struct image_text *argv = image_records(image, image->external.argv);
	read_text(image, image->name);
	read_text(image, image->file);
	read_text(image, image->external.user);
	for (uint32_t i = 0; i < image->ports.count; i++)
		if (ports[i] == 0)
			abort();
	for (uint32_t i = 0; i < image->networks.count; i++)
		read_text(image, networks[i].text);
	for (uint32_t i = 0; i < image->external.argv.count; i++)
		read_text(image, argv[i]);
	const struct image_text *set = image_records(image, image->environment.set);
	const struct image_text *keep = image_records(image, image->environment.keep);
	for (uint32_t i = 0; i < image->environment.set.count; i++)
		read_text(image, set[i]);
	for (uint32_t i = 0; i < image->environment.keep.count; i++)
		read_text(image, keep[i]);
	make_bouquet(image);
}

/* A rule that the filter names is read as the log reads it: so many bytes, or up to a NUL. */
static void ask(const struct image *image, const struct host *host, uint16_t port)
{
	struct decision decision = filter_decide(image, host, port);
	if (!decision.rule)
		return;
	seen ^= (uint8_t) decision.rule->line;
	read_bytes(image_string(image, decision.rule->text), decision.rule->text.len);
	read_bytes(image_string(image, decision.rule->text), strlen(image_string(image, decision.rule->text)));
}

/* The host that a record says it is about, else mostly nothing would ever be found. */
static void ask_for(const struct image *image, const struct image_host *record)
{
	struct host host = { .kind = HOST_NAME };
	if (record->kind == IMAGE_RULE_ADDRESS4 || record->kind == IMAGE_RULE_ADDRESS6) {
		host.kind = HOST_ADDRESS;
		host.address.family = record->kind == IMAGE_RULE_ADDRESS4 ? AF_INET : AF_INET6;
		memcpy(host.address.bytes, image_host_key(record), record->key_len < 16 ? record->key_len : 16);
	} else {
		const char *prefix = record->kind == IMAGE_RULE_WILDCARD ? "w." : "";
		size_t at = strlen(prefix), len = record->key_len;
		len = at + len > HOST_NAME_MAX_LEN ? HOST_NAME_MAX_LEN - at : len;
		memcpy(host.name, prefix, at);
		memcpy(host.name + at, image_host_key(record), len);
		host.len = (uint8_t) (at + len);
	}
	ask(image, &host, 443);
	ask(image, &host, 1);
}

static void ask_all(const struct image *image)
{
	for (uint32_t hash = 0, step = UINT32_MAX / 256, i = 0; i < 256; i++, hash += step)
		for (uint32_t tag = 0; tag < 8; tag++) {
			uint32_t at, end;
			const struct image_host *host;
			if (!image_hosts(image, (hash & ~7u) | tag, &at, &end))
				continue;
			for (unsigned n = 0; n < 8 && (host = image_host_at(image, &at, end)); n++)
				ask_for(image, host);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* malloc() aligns; size and end are corrected, else hardly an input would get past them */
	struct image *copy = malloc(size < sizeof(*copy) ? sizeof(*copy) : size);
	const struct image *image;
	memcpy(copy, data, size);
	if (size >= sizeof(*copy)) {
		copy->magic = IMAGE_MAGIC;
		copy->version = IMAGE_VERSION;
		copy->size = (uint32_t) size;
		((char *) copy)[size - 1] = '\0';
		if (image_check(copy, size, &image, NULL) == 0) {
			read_tables(image);
			ask_all(image);
		}
	}
	free(copy);
	return 0;
}
