/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's parent gave it by descriptor (proxy/worker.h), mapped for good. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/image.h"

/* bytes NULL: none was given. */
struct blob {
	const char *bytes;
	size_t len;
};

struct given {
	const struct image *image; /* checked */
	struct blob container, resolvconf, hosts;
};

/*
 * To be called before anything is opened, which would take the numbers of descriptors that were not given. Closes those
 * that it maps.
 */
int given_map(struct given *ret, struct error *err);
