/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress reload`: has keepers look at their policies now, and says what came of it. */
#include <errno.h>
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

/* A keeper gives up by itself, and says so: after a compilation and the review of its worker. */
#define ANSWER_TIMEOUT_MS (COMPILING_TIMEOUT_MS + 30000)
#define STATUS_TIMEOUT_MS 2000

static struct command_places places;

static const struct option_row options[] = {
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &places.run, NULL },
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

static void ask(int run, struct answer *answer)
{
	_cleanup_close_ int sock = -1;
	struct error err;
	bool changed;
	int r = control_connect(run, answer->key, &sock, &err);
	if (r < 0)
		r = error_say(&err, -r, "it has no keeper any more, and so no egress");
	else
		r = control_reload(sock, ANSWER_TIMEOUT_MS, &changed, &err);
	struct text text = text_init(answer->text, sizeof(answer->text));
	answer->good = r == 0;
	if (r < 0) {
		text_add(&text, "NOT RELOADED: ");
		text_add_escaped(&text, err.msg, strlen(err.msg));
		return;
	}
	text_add(&text, "%s", changed ? "reloaded" : "unchanged");
	add_needs(sock, &text);
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
	ask(reload->run, answer);
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
			(void) printf("%s  NOT RELOADED: it is %s\n", record->id, record_state_name(record->state));
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

static int reload_all(int argc, char **argv, struct error *err)
{
	int r = options_parse(&argc, argv, options, err);
	if (r < 0)
		return r;
	if (argc > 2)
		return error_say(err, EINVAL, "expected the id of one container, or none for all");

	struct settings settings;
	r = command_settings(&places, &settings, err);
	if (r < 0)
		return r;
	_cleanup_close_ int run = -1;
	if (access(settings.run, F_OK) == 0)
		r = rundir_open(settings.run, &run, err);
	if (r < 0)
		return r;

	struct reload reload = { .run = run, .id = argc == 2 ? argv[1] : NULL };
	if (run >= 0)
		r = record_each(run, reload_record, &reload, err);
	free(reload.answers);
	if (r < 0)
		return r == -ENOMEM ? error_set(err, ENOMEM, "reload") : r;
	if (reload.id && !reload.found)
		return error_say(err, ESRCH, "there is no container %s", reload.id);
	return reload.failed;
}

static int run_reload(int argc, char **argv)
{
	struct error err;
	int r = reload_all(argc, argv, &err);
	if (r >= 0)
		return r;
	(void) fprintf(stderr, "oci-egress reload: %s\n", err.msg);
	return 2;
}

const struct command command_reload = {
	.name = "reload",
	.operands = "[ID]",
	.text = "have a changed policy hold now, for one container or all, and say whether it does; exit status 0 it "
		"does, 1 not everywhere, 2 error",
	.run = run_reload,
	.options = options,
};
