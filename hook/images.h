/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled policies as files, RUN/images/POLICY/VERSION (oci/imageversion.h), each compiled once for all containers:
 * whoever needs one takes it from there or, under the policy's lock (the flock(2) of its directory), compiles it, puts
 * it there and takes other versions away. Who has one of those open or mapped keeps it. The newest version stays for
 * the next container.
 */
#pragma once

#include <limits.h>

#include "base/error.h"
#include "oci/image.h"

/* A policy file from this size on takes longer to compile than its image to be looked for. */
#define IMAGES_LARGE 65536

/* What to compile: an open policy file, as policy_open() gives it. */
struct images_source {
	int fd;
	const char *file;                 /* its path */
	const char *name;                 /* the policy's */
	enum image_on_failure on_failure; /* where it has none */
};

/*
 * Takes or makes the image of what the file holds now. 0, the file's name below RUN/images in ret_name, and *ret_fd
 * (the caller's) to map (oci/imagefile.h) or hand on; or -errno: what is wrong with the policy, above all. -EBUSY: it
 * is written again and again.
 */
int images_take(
	int run, const struct images_source *source, char ret_name[NAME_MAX + 1], int *ret_fd, struct error *err);

/* The same in a policy's directory of images, which may be locked already: the descriptor is the caller's. */
int images_take_in(
	int dir, const struct images_source *source, char ret_name[NAME_MAX + 1], int *ret_fd, struct error *err);

/* Removes those of policies that are not in the directory policies any more. */
void images_sweep(int run, const char *policies);
