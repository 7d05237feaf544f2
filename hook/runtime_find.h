/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime that the wrapper stands in front of. */
#pragma once

#include <limits.h>

#include "base/error.h"
#include "oci/settings.h"

/*
 * The path of the host's "runtime"; where that says nothing, of the first of runc and crun in the usual places. It must
 * be root's (or ours) and writable by nobody else. -ELOOP: it is this program itself, or leads back to it: whoever runs
 * what is found marks that with runtime_find_mark().
 */
int runtime_find(const struct settings *settings, char ret[PATH_MAX], struct error *err);

/* Puts into the environment that the wrapper has been here. */
int runtime_find_mark(struct error *err);
