/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles the policy on stdin and writes its image to stdout, for scripts that start a worker. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "oci/policy.h"

int main(void)
{
	struct error err;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ struct image *image = NULL;
	size_t len;
	if (io_read_all(STDIN_FILENO, POLICY_SIZE_MAX, &text, &len, &err) < 0 ||
		policy_compile("policy.json", "test", text, len, IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0 ||
		io_write_all(STDOUT_FILENO, image, image->size, &err) < 0) {
		log_error("%s", err.msg);
		return 1;
	}
	return 0;
}
