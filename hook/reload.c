/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `oci-egress reload` has keepers look at their policies now, `oci-egress restart` has them start other workers; both
 * say what came of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/command.h"
#include "hook/needs.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "proxy/compiling.h"
#include "proxy/control.h"

#define STATUS_TIMEOUT_MS 2000
#define RESTART_TIMEOUT_MS 15000

static struct command_places places;

static const struct option_row options[] = {
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &places.run, NULL },
	{ 0 },
};

static const struct option_row restart_options[] = {
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &places.run, NULL },
	{ "keeper", "FILE", "the program of the new workers (" KEEPER_PROGRAM ")", &places.keeper, NULL },
	{ 0 },
};

/* A keeper's answer, the same for all containers of its namespace. */
struct answer {
	char key[RUNDIR_KEY_SIZE];
	bool good;
	char text[ERROR_MESSAGE_MAX];
};

struct reload {
	int run;
	const char *id; /* NULL: all */
	int program;    /* to restart with; -1: reload */
	struct answer *answers;
	size_t n_answers;
	bool found, failed;
};

static void add_needs(int sock, struct text *text)
{
	struct control_status status;
	if (control_status(sock, STATUS_TIMEOUT_MS, &status, NULL) < 0 || status.needs == 0)
		return;
	text_add(text, "; a new container is needed for ");
	needs_add(text, status.needs, "");
}

static const char *word(const struct reload *reload, bool good, bool changed)
{
	if (reload->program >= 0)
		return good ? "restarted" : "NOT RESTARTED";
	if (!good)
		return "NOT RELOADED";
	return changed ? "reloaded" : "unchanged";
}

static void ask(const struct reload *reload, struct answer *answer)
{
	_cleanup_close_ int sock = -1;
	struct error err;
	bool changed = true;
	int r = control_connect(reload->run, answer->key, &sock, &err);
	if (r < 0)
		r = error_say(&err, -r, "it has no keeper any more, and so no egress");
	else if (reload->program >= 0)
		r = control_restart(sock, reload->program, RESTART_TIMEOUT_MS, &err);
	else
		r = control_reload(sock, COMPILING_ANSWER_TIMEOUT_MS, &changed, &err);
	struct text text = text_init(answer->text, sizeof(answer->text));
	answer->good = r == 0;
	text_add(&text, "%s", word(reload, answer->good, changed));
	if (answer->good) {
		add_needs(sock, &text);
		return;
	}
	text_add(&text, ": ");
	text_add_escaped(&text, err.msg, strlen(err.msg));
}

static const struct answer *answer_of(struct reload *reload, const char *key)
{
	for (size_t i = 0; i < reload->n_answers; i++)
		if (strcmp(reload->answers[i].key, key) == 0)
			return &reload->answers[i];
	struct answer *answers = reallocarray(reload->answers, reload->n_answers + 1, sizeof(*answers));
	if (!answers)
		return NULL;
	reload->answers = answers;
	struct answer *answer = &answers[reload->n_answers++];
	(void) snprintf(answer->key, sizeof(answer->key), "%s", key);
	ask(reload, answer);
	return answer;
}

static int reload_record(const struct record *record, void *arg)
{
	struct reload *reload = arg;
	if (reload->id && strcmp(record->id, reload->id) != 0)
		return 0;
	reload->found = true;
	if (record->state != RECORD_GUARDED) {
		if (reload->id)
			(void) printf("%s  %s: it is %s\n", record->id, word(reload, false, false),
				record_state_name(record->state));
		reload->failed = reload->failed || reload->id;
		return 0;
	}
	const struct answer *answer = answer_of(reload, record->key);
	if (!answer)
		return -ENOMEM;
	(void) printf("%s  %s\n", record->id, answer->text);
	reload->failed = reload->failed || !answer->good;
	return 0;
}

static int for_all(int argc, char **argv, int program, struct error *err)
{
	if (argc > 2)
		return error_say(err, EINVAL, "expected the id of one container, or none for all");

	struct settings settings;
	int r = command_settings(&places, &settings, err);
	if (r < 0)
		return r;
	_cleanup_close_ int run = -1;
	if (access(settings.run, F_OK) == 0)
		r = rundir_open(settings.run, &run, err);
	if (r < 0)
		return r;

	struct reload reload = { .run = run, .id = argc == 2 ? argv[1] : NULL, .program = program };
	if (run >= 0)
		r = record_each(run, reload_record, &reload, err);
	free(reload.answers);
	if (r < 0)
		return r == -ENOMEM ? error_set(err, ENOMEM, "answers") : r;
	if (reload.id && !reload.found)
		return error_say(err, ESRCH, "there is no container %s", reload.id);
	return reload.failed;
}

static int say(const char *command, int r, const struct error *err)
{
	if (r >= 0)
		return r;
	(void) fprintf(stderr, "oci-egress %s: %s\n", command, err->msg);
	return 2;
}

static int run_reload(int argc, char **argv)
{
	struct error err;
	int r = options_parse(&argc, argv, options, &err);
	if (r == 0)
		r = for_all(argc, argv, -1, &err);
	return say("reload", r, &err);
}

static int run_restart(int argc, char **argv)
{
	struct error err;
	_cleanup_close_ int program = -1;
	int r = options_parse(&argc, argv, restart_options, &err);
	if (r == 0) {
		program = open(command_keeper(&places), O_PATH | O_CLOEXEC);
		r = program < 0 ? error_set(&err, errno, "%s", command_keeper(&places))
				: for_all(argc, argv, program, &err);
	}
	return say("restart", r, &err);
}

const struct command command_reload = {
	.name = "reload",
	.operands = "[ID]",
	.text = "have a changed policy hold now, for one container or all, and say whether it does; exit status 0 it "
		"does, 1 not everywhere, 2 error",
	.run = run_reload,
	.options = options,
};

const struct command command_restart = {
	.name = "restart",
	.operands = "[ID]",
	.text = "put another worker in the place of the present one, after an upgrade for example, for one container "
		"or "
		"all; open connections go on; exit status as of reload",
	.run = run_restart,
	.options = restart_options,
};
