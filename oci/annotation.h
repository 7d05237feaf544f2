/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of a container that are ours: those under the prefix "oci-egress.". */
#pragma once

#include "base/error.h"
#include "oci/json.h"

#define ANNOTATION_POLICY "oci-egress.policy" /* names the container's policy */

/*
 * -EINVAL for one under our prefix, in whatever case, that nobody reads: it is a wall that somebody believes in. The
 * error says what was probably meant.
 */
int annotation_check(const struct json *json, const struct json_value *annotation, struct error *err);
