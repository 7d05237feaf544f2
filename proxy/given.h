/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's parent gave it by descriptor (proxy/worker.h), mapped for good. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/image.h"

/*
 * Maps what came later, of so many bytes, read-only, and closes fd: from inside the sandbox, which cannot ask how long
 * it is. The giver has seen to that and to its lasting. 0 or -errno.
 */
int given_map_later(int fd, size_t len, const void **ret);

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
