/* SPDX-License-Identifier: Apache-2.0 */
/* What the wrapper changes before a runtime reads it. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "hook/runtime_args.h"
#include "oci/bouquet.h"
#include "oci/image.h"
#include "oci/settings.h"

/*
 * The bouquet of a container that is yet to come, by its policy; NULL: by one that says nothing. The hook sees where
 * the proxy is, and puts the variables right where that is elsewhere.
 */
void runtime_edit_expect_bouquet(const struct settings *settings, const struct image *image, struct bouquet *ret);

/*
 * Of a container that is created: its config.json gets the bouquet, the filter and our hook. policy is its policy;
 * NULL: the one that the annotation, the variable or the file "default" choose. hook_args, ended by NULL, go to the
 * hook: where things are on this host. runtime: what runs it; crun runs no hook of what it restores, so that there
 * would be no link and no gate: refused.
 *
 * One that no policy is for is left as it is. Every error must stop the container.
 */
int runtime_edit_create(const struct settings *settings, const char *runtime, const struct runtime_args *args,
	const char *policy, const char *const hook_args[], struct error *err);

/*
 * The same of a config.json that comes as text and is to be given back as such. Returns 1 and *ret (to be freed), or 0
 * where no policy is for it.
 */
int runtime_edit_config(const struct settings *settings, const char *text, size_t len, const char *const hook_args[],
	char **ret, size_t *ret_len, struct error *err);

/*
 * Of a process that joins a container: where we guard that one, the file of --process gets the bouquet of the policy
 * that the container started with. *ret_bouquet: what the runtime has to be told by --env, where there is no such file;
 * n is 0 where there is nothing to tell.
 */
int runtime_edit_exec(const struct settings *settings, const struct runtime_args *args, int argc, char **argv,
	struct bouquet *ret_bouquet, struct error *err);
