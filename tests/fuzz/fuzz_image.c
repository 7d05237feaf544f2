/* SPDX-License-Identifier: Apache-2.0 */
/* A policy image that somebody else made. What passes image_check() must be safe to read from end to end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "oci/image.h"

static void read_text(const struct image *image, struct image_text text)
{
	if (strlen(image_string(image, text)) != text.len)
		abort();
}

static void read_rules(const struct image *image, struct image_table table)
{
	const struct image_rule *rules = image_records(image, table);
	for (uint32_t i = 0; i < table.count; i++) {
		read_text(image, rules[i].text);
		if (rules[i].kind == IMAGE_RULE_NAME || rules[i].kind == IMAGE_RULE_WILDCARD)
			read_text(image, rules[i].key);
		else if (rules[i].key.len != (rules[i].kind == IMAGE_RULE_ADDRESS4 ? 4 : 16))
			abort();
	}
}

static void read_all(const struct image *image)
{
	const uint16_t *ports = image_records(image, image->ports);
	const struct image_network *networks = image_records(image, image->networks);
	const struct image_text *argv = image_records(image, image->external.argv);
	read_text(image, image->name);
	read_text(image, image->file);
	read_text(image, image->external.user);
	read_rules(image, image->allow);
	read_rules(image, image->deny);
	for (uint32_t i = 0; i < image->ports.count; i++)
		if (ports[i] == 0)
			abort();
	for (uint32_t i = 0; i < image->networks.count; i++)
		read_text(image, networks[i].text);
	for (uint32_t i = 0; i < image->external.argv.count; i++)
		read_text(image, argv[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* malloc() aligns; the size is corrected, else hardly an input would get past it */
	struct image *copy = malloc(size < sizeof(*copy) ? sizeof(*copy) : size);
	const struct image *image;
	memcpy(copy, data, size);
	if (size >= sizeof(*copy)) {
		copy->size = (uint32_t) size;
		if (image_check(copy, size, &image, NULL) == 0)
			read_all(image);
	}
	free(copy);
	return 0;
}
