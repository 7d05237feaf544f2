/* SPDX-License-Identifier: Apache-2.0 */
/* A container's state. What is accepted must keep what oci/state.h promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *state;
	struct error err;
	if (state_parse((const char *) data, size, &state, &err) < 0) {
		if (strncmp(err.msg, "state:", 6) != 0)
			abort();
		return 0;
	}
	if (!state->id[0] || strchr(state->id, '/') || strstr(state->id, "..") || state->bundle[0] != '/' ||
		state->pid < 0)
		abort();
	for (size_t i = 0; i < state->n_annotations; i++)
		if (state_annotation(state, state->annotations[i].key) != state->annotations[i].value)
			abort(); /* two of one name */
	state_free(state);
	return 0;
}
