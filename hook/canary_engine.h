/* SPDX-License-Identifier: Apache-2.0 */
/* How each engine is told to start a doctor's container, to start another program in it, and to take it away. */
#pragma once

#include "base/error.h"
#include "hook/canary_home.h"
#include "hook/doctor.h"

#define CANARY_ARGV_MAX 40

struct canary_argv {
	size_t n;
	const char *v[CANARY_ARGV_MAX + 1]; /* ended by NULL; into doctor, home and text */
	char text[4][PATH_MAX + 128];
	size_t n_text;
};

enum canary_step {
	CANARY_START,
	CANARY_EXEC,
	CANARY_REMOVE,
	CANARY_REMOVE_IMAGE, /* no words: there is none */
};

/* The words for one step with the engine that doctor names. */
void canary_engine_argv(
	const struct doctor *doctor, const struct canary_home *home, enum canary_step step, struct canary_argv *ret);

/* What the engine needs before it can start: a bundle's config.json, an image. */
int canary_engine_prepare(const struct doctor *doctor, const struct canary_home *home, struct error *err);

/* The policy that the container comes under: the one made for it, or the one that docker's runtime is fixed to. */
const char *canary_engine_policy(const struct doctor *doctor, const struct canary_home *home);
