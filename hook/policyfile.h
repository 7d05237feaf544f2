/* SPDX-License-Identifier: Apache-2.0 */
/* A policy by its file's path, for commands that people run: named after the file, no owner asked for. */
#pragma once

#include "base/error.h"
#include "oci/image.h"

/* *ret is to be freed. */
int policyfile_compile(const char *file, struct image **ret, struct error *err);
