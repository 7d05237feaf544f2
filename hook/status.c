/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress status`: each container that is guarded, or should be. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/command.h"
#include "hook/images.h"
#include "hook/needs.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "hook/sweep.h"
#include "proxy/control.h"
#include "proxy/reason.h"

#define ANSWER_TIMEOUT_MS 2000

static struct command_places places;
static bool as_json;

static const struct option_row options[] = {
	{ "json", NULL, "one JSON object per container, a line each", NULL, &as_json },
	COMMAND_PLACES_ROWS(places),
	{ 0 },
};

/* What is known of a container: what was written down, and what its keeper says; state 0 where there is no keeper. */
struct view {
	const struct record *record;
	struct control_status keeper;
};

/* One word for people: the keeper's where there is one, since a guarded container without one has no egress. */
static const char *view_state(const struct view *view)
{
	if (view->record->state != RECORD_GUARDED)
		return record_state_name(view->record->state);
	switch (view->keeper.state) {
	case CONTROL_STATE_RUNNING:
		return "guarded";
	case CONTROL_STATE_STARTING:
		return "starting";
	case CONTROL_STATE_FAILED:
		return "failed";
	default:
		return "closed";
	}
}

static void format_time(int64_t seconds, char ret[32])
{
	time_t at = (time_t) seconds;
	struct tm tm;
	(void) strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
}

/* Why connections ended, and limits that were hit: those that came up. */
static void add_reasons(struct text *text, const struct control_status *k)
{
	const char *before = "";
	for (int i = 0; i < REASON_COUNT; i++) {
		if (k->reasons[i] == 0)
			continue;
		text_add(text, "%s\"%s\":%" PRIu64, before, reason_code((enum reason) i), k->reasons[i]);
		before = ",";
	}
}

static void print_json(const struct view *view, const char *since, const char *proxy)
{
	const struct record *record = view->record;
	const struct control_status *k = &view->keeper;
	char line[16384];
	struct text text = text_init(line, sizeof(line));
	text_add(&text, "{\"container\":\"%s\",\"state\":\"%s\",\"policy\":\"%s\",\"link\":\"%s\",\"proxy\":\"%s:%u\",",
		record->id, view_state(view), record->policy, record_link_name(record->link), proxy,
		(unsigned) record->port);
	text_add(&text, "\"namespace\":\"%s\",\"pod\":\"%s\",\"name\":\"%s\",", record->names.namespace,
		record->names.pod, record->names.container);
	text_add(&text, "\"pid\":%d,\"since\":\"%s\",", (int) record->pid, since);
	char version_since[32];
	format_time(k->policy_since, version_since);
	text_add(&text, "\"version\":\"%016" PRIx64 "\",\"version_since\":\"%s\",\"reloads\":%u,", k->policy_version,
		version_since, k->reloads);
	text_add(&text, "\"needs_new_container\":[");
	needs_add(&text, k->needs, "\"");
	text_add(&text, "],\"reload_error\":");
	text_add_json(&text, k->reload_error, strnlen(k->reload_error, sizeof(k->reload_error)));
	text_add(&text, ",\"worker_pid\":%d,\"external_pid\":%d,\"restarts\":%u,\"open\":%u,", k->worker_pid,
		k->external_pid, k->restarts, k->open);
	text_add(&text,
		"\"accepted\":%" PRIu64 ",\"allowed\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"failed\":%" PRIu64 ",",
		k->accepted, k->allowed, k->denied, k->failed);
	text_add(&text, "\"bytes_up\":%" PRIu64 ",\"bytes_down\":%" PRIu64 ",\"lines_lost\":%" PRIu64 ",\"reasons\":{",
		k->bytes_up, k->bytes_down, k->lines_lost);
	add_reasons(&text, k);
	text_add(&text, "},\"reason\":");
	text_add_json(&text, record->reason, strlen(record->reason));
	text_add(&text, "}");
	(void) puts(line);
}

static void print_reasons(const struct control_status *k)
{
	const char *before = "    reasons: ";
	for (int i = 0; i < REASON_COUNT; i++) {
		if (k->reasons[i] == 0)
			continue;
		(void) printf("%s%" PRIu64 " %s", before, k->reasons[i], reason_code((enum reason) i));
		before = ", ";
	}
	if (before[0] == ',')
		(void) printf("\n");
}

static void print_reload(const struct control_status *k)
{
	char since[32], line[4096];
	struct text text = text_init(line, sizeof(line));
	if (k->reloads > 0) {
		format_time(k->policy_since, since);
		(void) printf("    policy reloaded %s, version %016" PRIx64 "\n", since, k->policy_version);
	}
	if (k->needs != 0) {
		needs_add(&text, k->needs, "");
		(void) printf("    a new container is needed for %s\n", line);
	}
	text = text_init(line, sizeof(line));
	text_add_escaped(&text, k->reload_error, strnlen(k->reload_error, sizeof(k->reload_error)));
	if (text.len > 0)
		(void) printf("    NOT RELOADED: %s\n", line);
}

static void print_text(const struct view *view, const char *since, const char *proxy)
{
	const struct record *record = view->record;
	const struct control_status *k = &view->keeper;
	char names[NAMING_TEXT_SIZE];
	(void) naming_format(&record->names, false, names);
	(void) printf("%s  %s%s%s  policy %s  link %s %s:%u  since %s\n", record->id, names,
		names[0] != '\0' ? "  " : "", view_state(view), record->policy, record_link_name(record->link), proxy,
		(unsigned) record->port, since);
	if (k->state != 0)
		(void) printf("    %u open, %" PRIu64 " accepted: %" PRIu64 " allowed, %" PRIu64 " denied, %" PRIu64
			      " failed; %" PRIu64 " bytes up, %" PRIu64 " down; worker %d, %u restarts\n",
			k->open, k->accepted, k->allowed, k->denied, k->failed, k->bytes_up, k->bytes_down,
			k->worker_pid, k->restarts);
	print_reasons(k);
	print_reload(k);
	if (record->reason[0] != '\0')
		(void) printf("    WITHOUT A GUARD: %s\n", record->reason);
}

static int print_record(const struct record *record, void *arg)
{
	int run = *(int *) arg;
	struct view view = { .record = record };
	_cleanup_close_ int sock = -1;
	if (record->state == RECORD_GUARDED && control_connect(run, record->key, &sock, NULL) == 0 &&
		control_status(sock, ANSWER_TIMEOUT_MS, &view.keeper, NULL) < 0)
		view.keeper = (struct control_status){ 0 };

	char since[32], proxy[INET_ADDRSTRLEN];
	format_time(record->since, since);
	(void) inet_ntop(AF_INET, &record->proxy, proxy, sizeof(proxy));
	(as_json ? print_json : print_text)(&view, since, proxy);
	return 0;
}

static int status(int argc, char **argv, struct error *err)
{
	int r = options_parse(&argc, argv, options, err);
	if (r < 0)
		return r;
	if (argc > 1)
		return error_say(err, EINVAL, "unexpected \"%s\"", argv[1]);

	struct settings settings;
	r = command_settings(&places, &settings, err);
	if (r < 0 || access(settings.run, F_OK) < 0)
		return r; /* no directory: no container yet */

	_cleanup_close_ int run = -1;
	r = rundir_open(settings.run, &run, err);
	if (r < 0)
		return r;
	sweep_run(run);
	images_sweep(run, settings.policies);
	return record_each(run, print_record, &run, err);
}

static int run_status(int argc, char **argv)
{
	struct error err;
	if (status(argc, argv, &err) == 0)
		return 0;
	(void) fprintf(stderr, "oci-egress status: %s\n", err.msg);
	return 2;
}

const struct command command_status = {
	.name = "status",
	.operands = "",
	.text = "say how each container stands, and clear away what was killed",
	.run = run_status,
	.options = options,
};
