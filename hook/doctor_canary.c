/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/canary_engine.h"
#include "hook/canary_home.h"
#include "hook/child.h"
#include "hook/doctor.h"
#include "hook/record.h"
#include "hook/rundir.h"

#define START_TIMEOUT_MS 60000
#define EXEC_TIMEOUT_MS 30000
#define END_TIMEOUT_MS 10000
#define LOOK_IN_SYSLOG "journalctl -t oci-egress, or grep oci-egress /var/log/syslog, has the hook's own words"

/* What the canary tries, and what to do where it is not as it must be. */
static const struct trial {
	const char *what;
	const char *mend;
	bool wall; /* holds whatever started the process; else arming or the wrapper does it */
} trials[] = {
	{ "bouquet", LOOK_IN_SYSLOG, false },
	{ "filter", LOOK_IN_SYSLOG, false },
	{ "allowed", "oci-egress log; " LOOK_IN_SYSLOG, false },
	{ "denied", "oci-egress log; " LOOK_IN_SYSLOG, false },
	{ "tcp", "give the container no network beside ours, or mend nft above", true },
	{ "tcp6", "give the container no network beside ours, or mend nft above", true },
	{ "udp", "give the container no network beside ours, or mend nft above", true },
	{ "host", "do not start containers in the host's network namespace", true },
};

struct result {
	bool there, ok;
	char why[512];
};

struct results {
	struct result v[ARRAY_SIZE(trials)];
};

static void take_line(const char *line, struct results *results)
{
	char what[16], verdict[4];
	int at = 0;
	if (sscanf(line, "%15s %3s %n", what, verdict, &at) != 2 || at == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		struct result *result = &results->v[i];
		if (strcmp(trials[i].what, what) != 0)
			continue;
		result->there = true;
		result->ok = strcmp(verdict, "ok") == 0;
		(void) snprintf(result->why, sizeof(result->why), "%.*s", (int) strcspn(line + at, "\n"), line + at);
	}
}

static void take_results(const char *text, struct results *ret)
{
	*ret = (struct results){ 0 };
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		take_line(line, ret);
	}
}

/* -- what came of it */

static int find_record(const struct record *record, void *arg)
{
	struct record *wanted = arg;
	if (strcmp(record->policy, wanted->policy) != 0 || record->state != RECORD_GUARDED ||
		record->since < wanted->since || !record_alive(record))
		return 0;
	*wanted = *record;
	return 1;
}

/* since: when it was started; a fixed policy has other containers as well. container: its id, to take away its log. */
static void say_hook(
	struct doctor *doctor, const struct canary_home *home, int64_t since, char container[STATE_ID_MAX + 1])
{
	_cleanup_close_ int run = -1;
	struct error err;
	char mend[64];
	struct record wanted = { .since = since };
	(void) snprintf(wanted.policy, sizeof(wanted.policy), "%s", canary_engine_policy(doctor, home));
	int r = rundir_open(doctor->settings->run, &run, &err);
	if (r == 0)
		r = record_each(run, find_record, &wanted, &err);
	(void) snprintf(mend, sizeof(mend), "oci-egress install %s", doctor->engine);
	if (r > 0)
		(void) snprintf(container, STATE_ID_MAX + 1, "%s", wanted.id);
	if (r > 0)
		findings_ok(&doctor->findings, "hook", "the container is guarded, under policy %s", wanted.policy);
	else
		findings_fault(&doctor->findings, "hook", mend, "%s",
			r < 0 ? err.msg : "the container has started without the hook");
}

static void say_first(struct doctor *doctor, const struct canary_home *home, const struct results *results)
{
	bool fixed = strcmp(canary_engine_policy(doctor, home), home->name) != 0;
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		const struct result *result = &results->v[i];
		const char *what = trials[i].what;
		bool allowed = strcmp(what, "allowed") == 0;
		if (allowed && fixed)
			findings_note(&doctor->findings, what,
				"not tried: the runtime's policy is fixed, and lists nothing of ours");
		else if (allowed && result->ok && strcmp(result->why, home->token) != 0)
			findings_fault(&doctor->findings, what, trials[i].mend, "%s: somebody else has answered",
				home->listed);
		else if (result->ok)
			findings_ok(&doctor->findings, what, "%s", allowed ? home->listed : result->why);
		else
			findings_fault(&doctor->findings, what, trials[i].mend, "%s",
				result->there ? result->why : "the canary has not come that far");
	}
}

/* The walls have to hold; variables and filter come with the wrapper alone. */
static void say_exec(struct doctor *doctor, const struct results *results)
{
	bool bouquet = results->v[0].ok, filter = results->v[1].ok;
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		const struct result *result = &results->v[i];
		if (!trials[i].wall || result->ok)
			continue;
		findings_fault(&doctor->findings, "exec", trials[i].mend, "%s: %s", trials[i].what,
			result->there ? result->why : "the canary has not come that far");
		return;
	}
	bool wrapper = strcmp(doctor->engine, "docker") == 0;
	if (bouquet && filter)
		findings_ok(&doctor->findings, "exec", "variables, filter and walls");
	else if (wrapper)
		findings_fault(&doctor->findings, "exec", LOOK_IN_SYSLOG, "%s", results->v[bouquet ? 1 : 0].why);
	else
		findings_ok(&doctor->findings, "exec", "the walls hold%s: the runtime wrapper gives %s as well",
			filter ? ", the filter too" : "", filter ? "the variables" : "variables and filter");
}

static void try_exec(struct doctor *doctor, const struct canary_home *home)
{
	struct canary_argv argv;
	struct child child;
	struct results results;
	struct error err;
	canary_engine_argv(doctor, home, CANARY_EXEC, &argv);
	int r = child_run(argv.v, NULL, EXEC_TIMEOUT_MS, &child, &err);
	if (r != 0) {
		findings_fault(
			&doctor->findings, "exec", LOOK_IN_SYSLOG, "%s", r < 0 ? err.msg : child_complaint(&child));
		return;
	}
	take_results(child.out_text, &results);
	say_exec(doctor, &results);
}

static void say_no_start(struct doctor *doctor, struct child *child, int r, const struct error *err)
{
	const char *complaint = child_complaint(child);
	findings_fault(&doctor->findings, "start",
		complaint[0] ? "the message says what; " LOOK_IN_SYSLOG : LOOK_IN_SYSLOG,
		"the container does not start: %s",
		r < 0 ? err->msg : (complaint[0] ? complaint : "the engine says nothing"));
}

static void try_start(struct doctor *doctor, const struct canary_home *home, char container[STATE_ID_MAX + 1])
{
	struct canary_argv argv;
	struct child child;
	struct results results;
	struct error err;
	int64_t since = (int64_t) time(NULL);
	canary_engine_argv(doctor, home, CANARY_START, &argv);
	int r = child_start(argv.v, &child, &err);
	if (r < 0) {
		findings_fault(&doctor->findings, "start", "install it", "%s", err.msg);
		return;
	}
	r = child_read(&child, "\nend\n", START_TIMEOUT_MS, &err);
	if (r == 0) {
		take_results(child.out_text, &results);
		say_hook(doctor, home, since, container);
		say_first(doctor, home, &results);
		try_exec(doctor, home);
	} else {
		say_no_start(doctor, &child, r, &err);
	}
	(void) child_end(&child, r == 0 ? END_TIMEOUT_MS : 0);
}

static void clear_away(const struct doctor *doctor, const struct canary_home *home, const char *container)
{
	for (enum canary_step step = CANARY_REMOVE; step <= CANARY_REMOVE_IMAGE; step++) {
		struct canary_argv argv;
		struct child child;
		canary_engine_argv(doctor, home, step, &argv);
		if (argv.n > 0)
			(void) child_run(argv.v, NULL, END_TIMEOUT_MS, &child, NULL);
	}
	char file[PATH_MAX + STATE_ID_MAX + 8];
	(void) snprintf(file, sizeof(file), "%s/%s.log", doctor->settings->log, container);
	if (container[0] != '\0' && strcmp(canary_engine_policy(doctor, home), home->name) == 0)
		(void) unlink(file);
}

static void on_signal(int signum)
{
	(void) signum; /* poll(2) ends with EINTR, and what was made is cleared away */
}

static void catch_signals(struct sigaction old[3], const int signals[3])
{
	const struct sigaction action = { .sa_handler = on_signal };
	for (size_t i = 0; i < 3; i++)
		(void) sigaction(signals[i], &action, &old[i]);
}

void doctor_canary(struct doctor *doctor)
{
	static const int signals[3] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old[3];
	struct canary_home home = CANARY_HOME_EMPTY;
	char container[STATE_ID_MAX + 1] = "";
	struct error err;
	catch_signals(old, signals);
	int r = canary_home_make(doctor->settings, &home, &err);
	if (r == 0)
		r = canary_engine_prepare(doctor, &home, &err);
	if (r < 0)
		findings_fault(&doctor->findings, "start", "mend what is named", "%s", err.msg);
	else
		try_start(doctor, &home, container);
	if (home.name[0] != '\0')
		clear_away(doctor, &home, container);
	canary_home_clear(&home);
	for (size_t i = 0; i < 3; i++)
		(void) sigaction(signals[i], &old[i], NULL);
}
