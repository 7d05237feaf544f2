/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of engines and for the curious: merge_profile [CONFIG.JSON] prints what becomes of its linux.seccomp. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "oci/json.h"
#include "oci/profile.h"

static const struct json_value *find_profile(const struct json *json)
{
	const struct json_value *linux_ = json_member(json_root(json), "linux");
	return linux_ ? json_member(linux_, "seccomp") : NULL;
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *text = NULL, *merged = NULL;
	_cleanup_json_ struct json *json = NULL;
	size_t size = 0, merged_len;
	struct error err;
	FILE *file = argc > 1 ? fopen(argv[1], "re") : stdin;
	ssize_t len = file ? getdelim(&text, &size, '\0', file) : -1;
	if (len < 0) {
		perror(argc > 1 ? argv[1] : "stdin");
		return 1;
	}
	if (json_parse(argc > 1 ? argv[1] : "stdin", text, (size_t) len, false, &json, &err) < 0 ||
		profile_merge(json, find_profile(json), &merged, &merged_len, &err) < 0) {
		(void) fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return fwrite(merged, 1, merged_len, stdout) == merged_len && fflush(stdout) == 0 ? 0 : 1;
}
