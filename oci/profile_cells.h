/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What our filter permits of socket(2) and socketpair(2) as cells, each one rule of a profile; and what is left of a
 * profile's own rule inside of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/profile_rules.h"

struct profile_cell {
	const char *name; /* of the system call */
	unsigned n_args;
	struct scmp_arg_cmp args[PROFILE_ARGS_MAX];
};

/* NULL-terminated by name; in every one at most one condition on an argument. */
extern const struct profile_cell profile_cells[];

/* All that is no cell, for profiles that permit what they do not name: one denial for each. */
extern const struct profile_cell profile_denials[];

/* A piece of a rule that lies within a cell. */
struct profile_piece {
	const struct profile_rule *rule;
	struct profile_cell cell;
};

struct profile_pieces {
	struct profile_piece *at;
	size_t n, size;
};

/*
 * Cuts the rule into pieces, one for each of the cells of that system call that it reaches into, but for those that an
 * earlier one of the same action covers: libseccomp need not cope with rules that say the same.
 */
int profile_cut(struct profile_pieces *pieces, const struct profile_rule *rule, const char *name,
	const struct profile_cell *cells, struct error *err);

/* Does any piece, whatever its action, hold wherever the cell does? */
bool profile_pieces_cover(const struct profile_pieces *pieces, const struct profile_cell *cell);

void profile_pieces_free(struct profile_pieces *pieces);
