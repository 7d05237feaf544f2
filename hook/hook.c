/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress hook STAGE`: what a runtime calls, with the container's state on stdin. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/spawn.h"
#include "hook/command.h"
#include "hook/create.h"
#include "hook/poststop.h"
#include "hook/rootless.h"
#include "oci/state.h"

#define STATE_TIMEOUT_MS 10000 /* a runtime has it at hand */

static struct command_places places;
static const char *timings_file;
static struct create_order order;

static const struct option_row options[] = {
	COMMAND_PLACES_ROWS(places),
	{ "policy", "NAME", "the policy, whatever annotations say", &order.policy, NULL },
	{ "prepared", "WHAT", "config.json has been prepared by oci-egress-runtime, which says so", &order.prepared,
		NULL },
	{ "timings", "FILE", "append where this hook's time went, a JSON line in microseconds", &timings_file, NULL },
	{ 0 },
};

/*
 * The environment, signal mask, umask, cwd and descriptors are the runtime's, and through it perhaps the container's:
 * cwd can be its rootfs, and crun blocks every signal and sets umask 0 in hooks.
 */
static void forget_caller(void)
{
	rootless_clearenv();
	spawn_reset_inherited();
	(void) close_range(STDERR_FILENO + 1, ~0U, 0);
	/* A reader of stderr that is gone and a file that may not grow are errors to report, not to die of. */
	(void) signal(SIGPIPE, SIG_IGN);
	(void) signal(SIGXFSZ, SIG_IGN);
}

static int run_stage(const char *stage, const struct settings *settings, const char *state, size_t len)
{
	if (strcmp(stage, "poststop") == 0)
		return poststop_run(settings, state, len);

	struct timings timings;
	timings_start(&timings);
	int status = create_run(settings, command_keeper(&places), &order, state, len, &timings);
	if (timings_file)
		timings_write(&timings, timings_file);
	return status;
}

static bool is_stage(const char *stage)
{
	return strcmp(stage, "createRuntime") == 0 || strcmp(stage, "prestart") == 0 || strcmp(stage, "poststop") == 0;
}

static int run_hook(int argc, char **argv)
{
	forget_caller();
	log_open("oci-egress");

	/* First of all: a runtime may wait until its state is read, and fail on EPIPE where it is not. */
	struct error err;
	_cleanup_free_ char *state = NULL;
	size_t len;
	int r = io_read_all_within(STDIN_FILENO, STATE_SIZE_MAX, STATE_TIMEOUT_MS, &state, &len, &err);
	if (r < 0) {
		log_error("state on stdin: %s", err.msg);
		return 1;
	}

	struct settings settings;
	r = options_parse(&argc, argv, options, &err);
	if (r == 0 && (argc != 2 || !is_stage(argv[1])))
		r = error_say(&err, EINVAL, "expected one stage: createRuntime, prestart or poststop");
	if (r == 0)
		r = command_settings(&places, &settings, &err);
	if (r < 0) {
		log_error("hook: %s", err.msg);
		return 1;
	}
	return run_stage(argv[1], &settings, state, len);
}

const struct command command_hook = {
	.name = "hook",
	.operands = "createRuntime|prestart|poststop",
	.text = "guard the container whose state is on stdin (called by an OCI runtime)",
	.run = run_hook,
	.options = options,
};
