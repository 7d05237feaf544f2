/* SPDX-License-Identifier: Apache-2.0 */
/* Prepares each document on stdin, "config" or "process" as the first argument says, for prepare.py. Each ends with a NUL.
 * The second is the directory of merged profiles. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/config.h"
#include "oci/prepare.h"

static int prepare_one(const char *text, size_t len, bool config, int profiles, char **ret, size_t *ret_len, struct error *err)
{
	static const char *const args[] = { "--run", "/a \"quoted\" \\ path", NULL };
	static const char *const create_args[] = { "--policy", "p", NULL };
	const struct prepare_hook hook = { .program = "/usr/bin/oci-egress", .args = args, .create_args = create_args };
	struct bouquet bouquet;
	bouquet_make(NULL, (struct in_addr){ htonl(0xc6120002) }, 3128, &bouquet);

	_cleanup_json_ struct json *json = NULL;
	struct config *read = NULL;
	int r = json_parse("doc", text, len, false, &json, err);
	if (r == 0 && config)
		r = config_read(json, &read, err);
	config_free(read);
	if (r < 0)
		return r;
	return config ? prepare_config(json, &bouquet, &hook, profiles, ret, ret_len, err)
		      : prepare_process(json, &bouquet, ret, ret_len, err);
}

int main(int argc, char **argv)
{
	struct error err;
	_cleanup_close_ int profiles = argc == 3 ? open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (profiles < 0)
		return 1;
	bool config = strcmp(argv[1], "config") == 0;
	_cleanup_free_ char *all = NULL;
	size_t len;
	if (io_read_all(STDIN_FILENO, 256u << 20, &all, &len, &err) < 0)
		return 1;
	for (size_t at = 0; at < len;) {
		/* A copy with nothing behind it, so that the sanitizer sees a read past its end. */
		size_t n = strlen(all + at);
		_cleanup_free_ char *copy = malloc(n ? n : 1);
		_cleanup_free_ char *edited = NULL;
		size_t edited_len = 0;
		if (!copy)
			return 1;
		memcpy(copy, all + at, n);
		if (prepare_one(copy, n, config, profiles, &edited, &edited_len, &err) < 0)
			(void) printf("!%s", err.msg);
		else
			(void) fwrite(edited, 1, edited_len, stdout);
		(void) putchar('\0');
		at += n + 1;
	}
	return 0;
}
