/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/policyfile.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/policy.h"

/* "/etc/oci-egress/policies/web.json" is the policy web. */
static void name_of(const char *file, char ret[POLICY_NAME_MAX + 1])
{
	const char *base = strrchr(file, '/');
	base = base ? base + 1 : file;
	size_t len = strlen(base);
	if (len > 5 && strcmp(base + len - 5, ".json") == 0)
		len -= 5;
	(void) snprintf(ret, POLICY_NAME_MAX + 1, "%.*s", (int) len, base);
}

int policyfile_compile(const char *file, struct image **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = policy_read_file(file, &text, &len, err);
	if (r < 0)
		return r;

	char name[POLICY_NAME_MAX + 1];
	name_of(file, name);
	return policy_compile(file, name, text, len, IMAGE_ON_FAILURE_OPEN, ret, err);
}
