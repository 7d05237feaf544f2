/* SPDX-License-Identifier: Apache-2.0 */
/* A run of `oci-egress compile` for a keeper, which has no JSON itself: one at a time, bounded in time and words. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/image.h"
#include "proxy/handle.h"

#define COMPILING_TIMEOUT_MS 60000 /* a million entries, behind others who compile theirs */

/* What whoever waits for a keeper that compiles has to give it: the review of its worker comes afterwards. */
#define COMPILING_ANSWER_TIMEOUT_MS (COMPILING_TIMEOUT_MS + 30000)

/* What its answer begins with: the image's name follows, or what is wrong. */
#define COMPILING_GOOD '+'
#define COMPILING_BAD '-'

struct compiling {
	struct handle handle;
	int answer; /* a pipe's reading end; -1: none runs */
	int64_t end_ms;
	size_t len;
	char text[ERROR_MESSAGE_MAX]; /* so far */
};

#define COMPILING_INIT                                  \
	{                                               \
		.handle = { .pidfd = -1 }, .answer = -1 \
	}

/*
 * Compiles the policy that image was made from, as it is now. Descriptors: the command's executable, the run directory,
 * and that of the policy's images below it, whose lock, if the caller has it, is the command's until it ends.
 * on_failure: "open" or "closed", what holds where the policy does not say.
 */
int compiling_start(struct compiling *compiling, int program, int run, int images, const struct image *image,
	const char *on_failure, struct error *err);

/*
 * The pipe is readable, or end_ms has come. 0: not done; 1: done, *ret_image is where the image lies below RUN/images,
 * valid until the next start; -errno: what is wrong, in the command's words.
 */
int compiling_look(struct compiling *compiling, const char **ret_image, struct error *err);

void compiling_stop(struct compiling *compiling);
