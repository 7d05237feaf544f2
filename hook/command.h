/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of oci-egress: a table, from which --help and dispatch both come. */
#pragma once

#include "hook/options.h"
#include "oci/settings.h"

struct command {
	const char *name;
	const char *operands;              /* for the help: "[HOST[:PORT]...]" */
	const char *text;                  /* for the help, one line; NULL: started by others of ours, not by people */
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
	const struct option_row *options;
};

extern const struct command command_hook, command_proxy, command_check, command_env, command_compile, command_reload,
	command_restart, command_status, command_log, command_runtime, command_doctor, command_canary,
	command_install, command_uninstall;

/* Where things are on this host: what the commands that act on it share. NULL: not given on the command line. */
struct command_places {
	const char *config, *policies, *run, *log, *state, *keeper;
};

#define COMMAND_PLACES_ROWS(p)                                                                               \
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &(p).config, NULL },        \
		{ "policies", "DIR", "where policies are (/etc/oci-egress/policies)", &(p).policies, NULL }, \
		{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &(p).run, NULL },   \
		{ "log", "DIR", "the containers' logs (/var/log/oci-egress)", &(p).log, NULL },              \
		{ "state", "DIR", "external proxies' homes (/var/lib/oci-egress)", &(p).state, NULL },       \
	{                                                                                                    \
		"keeper", "FILE", "the keeper's program (" KEEPER_PROGRAM ")", &(p).keeper, NULL             \
	}

/* Reads the host's settings and puts the command line's places over them. A file that was named must be there. */
int command_settings(const struct command_places *places, struct settings *ret, struct error *err);

/* The same without any file: for who is given all that he needs, and must not fail for what is in one. */
int command_given_settings(const struct command_places *places, struct settings *ret, struct error *err);

/* What was given of them, as words of a command line, ended by NULL. */
#define COMMAND_PLACES_WORDS 13
void command_places_words(const struct command_places *places, const char *ret[COMMAND_PLACES_WORDS]);

/* The keeper's program: as given, or as installed. */
const char *command_keeper(const struct command_places *places);
