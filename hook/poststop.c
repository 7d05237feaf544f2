/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/poststop.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "hook/sweep.h"
#include "oci/state.h"
#include "proxy/control.h"

#define ANSWER_TIMEOUT_MS 1000

static void tell_keeper(int run, const char *id)
{
	struct record record;
	_cleanup_close_ int sock = -1;
	if (record_read(run, id, &record, NULL) == 0 && control_connect(run, record.key, &sock, NULL) == 0)
		(void) control_leave(sock, id, ANSWER_TIMEOUT_MS, NULL); /* one that has just ended is as good */
}

int poststop_run(const struct settings *settings, const char *state_text, size_t len)
{
	struct error err;
	struct state *state = NULL;
	if (state_parse(state_text, len, &state, &err) < 0) {
		log_error("poststop: %s", err.msg);
		return 1;
	}

	_cleanup_close_ int run = -1;
	if (access(settings->run, F_OK) == 0 && rundir_open(settings->run, &run, NULL) == 0) {
		tell_keeper(run, state->id);
		sweep_run(run);
	}
	state_free(state);
	return 0;
}
