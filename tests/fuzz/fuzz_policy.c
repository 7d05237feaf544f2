/* SPDX-License-Identifier: Apache-2.0 */
/* A policy. What compiles must pass image_check(), be whole, and compile to the same bytes again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/policy.h"
#include "tests/oci/flaw.h"

static struct image *compile(const uint8_t *data, size_t size)
{
	struct image *image = NULL;
	struct error err;
	(void) policy_compile("policy", "fuzz", (const char *) data, size, IMAGE_ON_FAILURE_CLOSED, &image, &err);
	return image;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image *image = compile(data, size);
	if (!image)
		return 0;
	const struct image *checked;
	struct image *again = compile(data, size);
	if (image_check(image, image->size, &checked, NULL) < 0 || image_flaw(image) || !again ||
		again->size != image->size || memcmp(again, image, image->size) != 0)
		abort();
	free(again);
	free(image);
	return 0;
}
