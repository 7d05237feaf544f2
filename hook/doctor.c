/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress doctor`: does it work on this machine, and if not, why not, and what mends it. */
#include "hook/doctor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

enum status {
	STATUS_WELL = 0,
	STATUS_FAULTS = 1,
	STATUS_ERROR = 2,
};

static struct command_places places;
static const char *network;
static bool as_json;

static const struct option_row options[] = {
	{ "json", NULL, "a JSON object per check", NULL, &as_json },
	{ "network", "NAME", "the network of podman's or docker's container (none)", &network, NULL },
	COMMAND_PLACES_ROWS(places),
	{ 0 },
};

static int check_engine(const char *engine, struct error *err)
{
	static const char *const known[] = { "podman", "docker", "runc", "crun" };
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(engine, known[i]) == 0)
			return 0;
	return error_say(err, EINVAL, "%s: expected podman, docker, runc or crun, or nothing", engine);
}

static int examine(struct doctor *doctor, struct error *err)
{
	struct settings settings;
	int r = command_settings(&places, &settings, err);
	if (r < 0) {
		findings_fault(&doctor->findings, "config",
			"correct the line that is named, or make the file root's (chmod 644)", "%s", err->msg);
		settings_defaults(&settings);
	}
	doctor->settings = &settings;
	doctor_kernel(doctor);
	if (r == 0)
		doctor_places(doctor);
	doctor_names(doctor);
	doctor_engines(doctor);
	if (!doctor->engine)
		return 0;
	if (doctor->findings.faults > (doctor->no_userns && geteuid() == 0)) {
		findings_note(&doctor->findings, "canary", "not tried before that is mended");
		return 0;
	}
	if (geteuid() != 0 && strcmp(doctor->engine, "podman") != 0 && strcmp(doctor->engine, "docker") != 0)
		return error_say(err, EPERM, "%s by itself is tried as root", doctor->engine);
	doctor_canary(doctor);
	return 0;
}

static int doctor_status(int argc, char **argv, struct error *err)
{
	int r = options_parse(&argc, argv, options, err);
	if (r == 0 && argc > 2)
		r = error_say(err, EINVAL, "expected one engine, or none");
	if (r == 0 && argc == 2)
		r = check_engine(argv[1], err);
	if (r < 0)
		return r;

	struct doctor doctor = {
		.findings = { .json = as_json },
		.config = places.config,
		.policies = places.policies,
		.run = places.run,
		.log = places.log,
		.state = places.state,
		.keeper = command_keeper(&places),
		.engine = argc == 2 ? argv[1] : NULL,
		.network = network,
	};
	r = examine(&doctor, err);
	if (r < 0)
		return r;
	return doctor.findings.faults > 0 ? STATUS_FAULTS : STATUS_WELL;
}

static int run_doctor(int argc, char **argv)
{
	struct error err;
	(void) signal(SIGPIPE, SIG_IGN); /* a program that we start need not read what we tell it */
	int r = doctor_status(argc, argv, &err);
	if (r >= 0)
		return r;
	(void) fprintf(stderr, "oci-egress doctor: %s\n", err.msg);
	return STATUS_ERROR;
}

const struct command command_doctor = {
	.name = "doctor",
	.operands = "[podman|docker|runc|crun]",
	.text = "prove that it works on this machine, and with that engine, or say what is wrong and what mends it; "
		"exit "
		"status 0 all well, 1 not, 2 error",
	.run = run_doctor,
	.options = options,
};
