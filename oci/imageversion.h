/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where what was made of a version of a policy's file lies, RUN/images/POLICY/VERSION: its image (oci/imagefile.h), or
 * what is wrong with it, in VERSION.error. The name says all that the result depends on: the file's stamp, what holds
 * where the policy does not say, and the program that compiled it, an older one of which may have known less.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/stamp.h"
#include "oci/image.h"

#define IMAGEVERSION_NAME_SIZE (STAMP_SIZE + 64)

/* Opens RUN/images/POLICY, and makes it where there is none. A descriptor (the caller's), or -errno. */
int imageversion_open_directory(int run, const char *policy, struct error *err);

/*
 * How long the file's name cannot be relied on yet, in milliseconds: one that was written in this very tick of the
 * clock could be written again in it, and its stamp would be the same. 0: it has settled.
 */
int imageversion_unsettled_ms(const struct stat *st);

void imageversion_name(const struct stat *st, enum image_on_failure on_failure, char ret[IMAGEVERSION_NAME_SIZE]);

/* Opens its image in the policy's directory. policy: the name, for messages. 0, -ENOENT: there is none, or -errno. */
int imageversion_open(int dir, const char *version, const char *policy, int *ret_fd, struct error *err);

/* What was wrong with it when it was compiled, and still is: -EINVAL and err; 0 where nothing is known. */
int imageversion_read_failure(int dir, const char *version, struct error *err);

/* Keeps what is wrong with it for others. Where it cannot be kept they find out themselves. */
void imageversion_write_failure(int dir, const char *version, const struct error *err);
