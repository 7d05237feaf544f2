/* SPDX-License-Identifier: Apache-2.0 */
/* The container's state, as a runtime writes it to a hook's stdin (OCI runtime-spec, runtime.md "State"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define STATE_SIZE_MAX (16u << 20)
#define STATE_ID_MAX 200

struct state_annotation {
	char *key;
	char *value;
};

struct state {
	char id[STATE_ID_MAX + 1]; /* [A-Za-z0-9][A-Za-z0-9_.+-]*, no ".." */
	char status[16];           /* creating, created, running, stopped */
	char *bundle;              /* absolute */
	pid_t pid;                 /* 0: none (poststop) */
	size_t n_annotations;
	struct state_annotation *annotations;
};

/*
 * Parses a state. Strict on types, on duplicate keys, on the id (a strange id would become a file's name) and on UTF-8;
 * unknown keys pass. Returns 0 and *ret (state_free()), or -EINVAL with "state:LINE:COLUMN: key: what is wrong".
 */
int state_parse(const char *text, size_t len, struct state **ret, struct error *err);
void state_free(struct state *state);

/* Is this a container's id: [A-Za-z0-9][A-Za-z0-9_.+-]*, no "..", at most STATE_ID_MAX bytes? */
bool state_id_valid(const char *id, size_t len);

/* The annotation's value, or NULL. */
const char *state_annotation(const struct state *state, const char *key);
