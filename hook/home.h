/* SPDX-License-Identifier: Apache-2.0 */
/* HOME of an external proxy: STATE/proxy/POLICY, kept for good, one per policy, owned by the user it runs as. */
#pragma once

#include "base/error.h"
#include "oci/image.h"

/* Opens it, and makes it where it is missing. *ret_fd (a directory) is the caller's. */
int home_open(const char *state, const struct image *image, int *ret_fd, struct error *err);
