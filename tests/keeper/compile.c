/* SPDX-License-Identifier: Apache-2.0 */
/* compile FILE NAME: the policy's image on stdout. For tests that start a keeper without a hook. */
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/policy.h"

int main(int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ struct image *image = NULL;
	size_t len;
	struct error err;
	if (argc != 3 || policy_read_file(argv[1], &text, &len, &err) < 0 ||
		policy_compile(argv[1], argv[2], text, len, IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0 ||
		io_write_all(STDOUT_FILENO, image, image->size, &err) < 0) {
		(void) fprintf(stderr, "compile: %s\n", argc == 3 ? err.msg : "FILE NAME");
		return 1;
	}
	return 0;
}
