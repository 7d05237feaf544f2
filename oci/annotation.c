/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/annotation.h"

#include <string.h>
#include <strings.h>

#define PREFIX "oci-egress."

int annotation_check(const struct json *json, const struct json_value *annotation, struct error *err)
{
	static const struct json_key own[] = { { .name = ANNOTATION_POLICY }, { .name = NULL } };
	if (annotation->key_len < strlen(PREFIX) || strncasecmp(annotation->key, PREFIX, strlen(PREFIX)) != 0 ||
		json_key_is(annotation, ANNOTATION_POLICY))
		return 0;
	return json_complain_unknown(json, annotation, own, err);
}
