/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp profile. What comes of it must be one, whose filter denies all that ours denies. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "oci/bpf.h"
#include "oci/profile.h"
#include "oci/profile_compile.h"
#include "oci/profile_rules.h"
#include "oci/seccomp_probe.h"

static int visit(const struct seccomp_probe *probe, void *ctx, struct error *err)
{
	(void) err;
	if (probe->abi && !profile_permits(probe->want) && profile_permits(bpf_run(ctx, &probe->data)))
		abort();
	return 0;
}

static void check(const char *text, size_t len)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_profile_ struct profile profile = { 0 };
	struct sock_fprog program;
	struct error err;
	if (json_parse("merged", text, len, false, &json, &err) < 0 ||
		profile_read(json, json_root(json), &profile, &err) < 0 ||
		profile_compile(&profile, NULL, false, &program, &err) < 0)
		abort();
	(void) seccomp_probe_all(visit, &program, &err);
	free(program.filter);
}

/* libseccomp's own leak, of rules that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libseccomp\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *merged = NULL;
	struct error err;
	size_t len;
	if (json_parse("profile", (const char *) data, size, false, &json, &err) < 0)
		return 0;
	if (profile_merge(json, json_root(json), &merged, &len, &err) == 0)
		check(merged, len);
	else if (err.code != -EINVAL)
		abort();
	return 0;
}
