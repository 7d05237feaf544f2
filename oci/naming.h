/* SPDX-License-Identifier: Apache-2.0 */
/* What engines call a container, beside its id: taken from annotations that they set themselves. */
#pragma once

#include <stdbool.h>

#include "oci/state.h"

#define NAMING_MAX 253 /* the longest name of Kubernetes: a DNS subdomain, RFC 1123 */
#define NAMING_TEXT_SIZE (3 * (NAMING_MAX + 1) + 1)

/* Empty: not known. Letters, digits and _.-, nothing else. */
struct naming {
	char namespace[NAMING_MAX + 1];
	char pod[NAMING_MAX + 1];
	char container[NAMING_MAX + 1];
};

/* The names that the state's annotations give; one that is no name, or too long, is left empty. */
void naming_read(const struct state *state, struct naming *ret);

/* Is there any? */
bool naming_known(const struct naming *naming);

/* "NAMESPACE/POD/CONTAINER", as far as known; pod_only: without the container where there is a pod. Returns buf. */
const char *naming_format(const struct naming *naming, bool pod_only, char buf[NAMING_TEXT_SIZE]);

/* Is text one of its names: CONTAINER, POD, NAMESPACE/POD, POD/CONTAINER or all three? */
bool naming_is(const struct naming *naming, const char *text);
