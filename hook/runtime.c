/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/command.h"
#include "hook/runtime_args.h"
#include "hook/runtime_edit.h"
#include "hook/runtime_find.h"
#include "hook/runtime_log.h"

#define NAME "oci-egress-runtime"

static struct command_places places;
static const char *policy;

static const struct option_row options[] = {
	COMMAND_PLACES_ROWS(places),
	{ "policy", "NAME", "the policy of every container, whatever it says itself", &policy, NULL },
	{ 0 },
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool runtime_is_name(const char *argv0)
{
	const char *name = base_name(argv0);
	size_t len = strlen(NAME);
	return strncmp(name, NAME, len) == 0 && (name[len] == '\0' || name[len] == '@');
}

static int execute(const char *runtime, int argc, char **argv, const struct runtime_args *args,
	const struct bouquet *bouquet, struct error *err)
{
	_cleanup_free_ const char **words = calloc((size_t) argc + 2 * bouquet->n + 1, sizeof(*words));
	if (!words)
		return error_set(err, ENOMEM, "run %s", runtime);
	size_t n = 0;
	words[n++] = runtime;
	for (int i = 1; i < argc; i++) {
		/* Behind all others: of two of a name the later one holds. */
		for (size_t v = 0; i == args->options_end && v < bouquet->n; v++) {
			words[n++] = "--env";
			words[n++] = bouquet_text(bouquet, v);
		}
		words[n++] = argv[i];
	}
	(void) execv(runtime, (char **) (uintptr_t) words);
	return error_set(err, errno, "run %s", runtime);
}

static int edit(const struct settings *settings, const char *runtime, const struct runtime_args *args, int argc,
	char **argv, struct bouquet *ret_bouquet, struct error *err)
{
	const char *hook_args[COMMAND_PLACES_WORDS];
	switch (args->command) {
	case RUNTIME_CREATE:
		command_places_words(&places, hook_args); /* what we were told of this host, the hook is told as well */
		return runtime_edit_create(settings, runtime, args, policy, hook_args, err);
	case RUNTIME_EXEC:
		return runtime_edit_exec(settings, args, argc, argv, ret_bouquet, err);
	case RUNTIME_OTHER:
		break;
	}
	return 0;
}

/* argv[1..argc) is the runtime's command line. */
static int run(int argc, char **argv)
{
	struct error err;
	struct settings settings;
	struct runtime_args args;
	struct bouquet bouquet = { .n = 0 };
	char runtime[PATH_MAX];
	int r = runtime_args_parse(argc, argv, &args, &err);
	if (r == 0)
		r = command_settings(&places, &settings, &err);
	if (r == 0)
		r = runtime_find(&settings, runtime, &err);
	if (r == 0)
		r = edit(&settings, runtime, &args, argc, argv, &bouquet, &err);
	if (r == 0)
		r = runtime_find_mark(&err);
	if (r == 0)
		r = execute(runtime, argc, argv, &args, &bouquet, &err);
	runtime_log(&args, err.msg);
	return 1;
}

int runtime_main(int argc, char **argv)
{
	const char *at = strchr(base_name(argv[0]), '@');
	policy = at ? at + 1 : NULL;
	return run(argc, argv);
}

static int run_command(int argc, char **argv)
{
	struct error err;
	if (options_parse(&argc, argv, options, &err) < 0) {
		(void) fprintf(stderr, NAME ": %s\n", err.msg);
		return 1;
	}
	return run(argc, argv);
}

const struct command command_runtime = {
	.name = "runtime",
	.operands = "-- [ARGUMENT...]",
	.text = "stand in front of an OCI runtime, with that runtime's arguments",
	.run = run_command,
	.options = options,
};
