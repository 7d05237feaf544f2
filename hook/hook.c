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
#include "hook/runtime_edit.h"
#include "oci/config.h"
#include "oci/state.h"

#define PRECREATE "precreate"
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

/*
 * podman's own stage: config.json is on stdin, and what is written to stdout takes its place. It throws stderr away,
 * and stops the container where we say nothing and fail.
 */
static int run_precreate(const struct settings *settings, const char *config, size_t len)
{
	struct error err;
	const char *hook_args[COMMAND_PLACES_WORDS];
	_cleanup_free_ char *edited = NULL;
	size_t edited_len;
	command_places_words(&places, hook_args);
	int r = runtime_edit_config(settings, config, len, hook_args, &edited, &edited_len, &err);
	if (r >= 0)
		r = io_write_all(STDOUT_FILENO, r > 0 ? edited : config, r > 0 ? edited_len : len, &err);
	if (r < 0)
		log_error("precreate: the container does not start: %s", err.msg);
	return r < 0;
}

/* What may come on stdin is more where it is a config.json. */
static size_t input_max(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], PRECREATE) == 0)
			return CONFIG_SIZE_MAX;
	return STATE_SIZE_MAX;
}

static int run_stage(const char *stage, const struct settings *settings, const char *state, size_t len)
{
	if (strcmp(stage, "poststop") == 0)
		return poststop_run(settings, state, len);
	if (strcmp(stage, PRECREATE) == 0)
		return run_precreate(settings, state, len);

	struct timings timings;
	timings_start(&timings);
	int status = create_run(settings, command_keeper(&places), &order, state, len, &timings);
	if (timings_file)
		timings_write(&timings, timings_file);
	return status;
}

static bool is_stage(const char *stage)
{
	return strcmp(stage, "createRuntime") == 0 || strcmp(stage, "prestart") == 0 ||
	       strcmp(stage, "poststop") == 0 || strcmp(stage, PRECREATE) == 0;
}

static int run_hook(int argc, char **argv)
{
	forget_caller();
	log_open("oci-egress");

	/* First of all: a runtime may wait until its state is read, and fail on EPIPE where it is not. */
	struct error err;
	_cleanup_free_ char *state = NULL;
	size_t len;
	int r = io_read_all_within(STDIN_FILENO, input_max(argc, argv), STATE_TIMEOUT_MS, &state, &len, &err);
	if (r < 0) {
		log_error("state on stdin: %s", err.msg);
		return 1;
	}

	struct settings settings;
	r = options_parse(&argc, argv, options, &err);
	if (r == 0 && (argc != 2 || !is_stage(argv[1])))
		r = error_say(&err, EINVAL, "expected one stage: createRuntime, prestart, poststop or precreate");
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
	.operands = "createRuntime|prestart|poststop|precreate",
	.text = "guard the container whose state is on stdin (called by an OCI runtime)",
	.run = run_hook,
	.options = options,
};
