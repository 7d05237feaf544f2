/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const struct sock_filter program[] = {
#include "oci/seccomp_program.h"
};

int seccomp_filter_get(struct sock_fprog *ret, struct error *err)
{
	struct sock_filter *filter = malloc(sizeof(program));
	if (!filter)
		return error_set(err, ENOMEM, "seccomp filter");
	memcpy(filter, program, sizeof(program));
	*ret = (struct sock_fprog){ .len = ARRAY_SIZE(program), .filter = filter };
	return 0;
}

void seccomp_filter_free(struct sock_fprog *filter)
{
	free(filter->filter);
	*filter = (struct sock_fprog){ 0 };
}
