/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime_args.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

/* An option that a runtime has. Those that matter here have a field. */
struct option {
	const char *name;
	char letter;
	bool takes_value;
	bool is_capability;
	size_t field; /* of struct runtime_args: a const char *; 0: none of ours */
};

#define FIELD(f) .takes_value = true, .field = offsetof(struct runtime_args, f)
#define VALUE .takes_value = true

static const struct option global_options[] = {
	{ "root", 'r', VALUE },
	{ "log", 'l', FIELD(log) },
	{ "log-format", 0, FIELD(log_format) },
	{ "log-level", 0, VALUE },
	{ "criu", 0, VALUE },
	{ "rootless", 0, VALUE },
	{ "cgroup-manager", 0, VALUE },
	{ "config", 0, VALUE },
	{ .name = "debug" },
	{ .name = "systemd-cgroup" },
	{ .name = "systemd-log" },
	{ "help", 'h', .takes_value = false },
	{ "version", 'v', .takes_value = false },
	{ .name = NULL },
};

static const struct option create_options[] = {
	{ "bundle", 'b', FIELD(bundle) },
	{ "config", 'f', FIELD(config) },
	{ "console-socket", 'c', VALUE },
	{ "pidfd-socket", 0, VALUE },
	{ "pid-file", 'p', VALUE },
	{ "preserve-fds", 0, VALUE },
	{ "image-path", 0, VALUE },
	{ "work-path", 0, VALUE },
	{ "parent-path", 0, VALUE },
	{ "status-fd", 0, VALUE },
	{ "manage-cgroups-mode", 0, VALUE },
	{ "network-lock", 0, VALUE },
	{ "empty-ns", 0, VALUE },
	{ "lsm-profile", 0, VALUE },
	{ "lsm-mount-context", 0, VALUE },
	{ "detach", 'd', .takes_value = false },
	{ "no-new-keyring", 'n', .takes_value = false },
	{ .name = NULL },
};

static const struct option exec_options[] = {
	{ "process", 'p', FIELD(process) },
	{ "console-socket", 0, VALUE },
	{ "pidfd-socket", 0, VALUE },
	{ "cwd", 0, VALUE },
	{ "env", 'e', VALUE },
	{ "user", 'u', VALUE },
	{ "additional-gids", 'g', VALUE },
	{ "pid-file", 0, VALUE },
	{ "process-label", 0, VALUE },
	{ "apparmor", 0, VALUE },
	{ "cap", 'c', VALUE, .is_capability = true },
	{ "preserve-fds", 0, VALUE },
	{ "cgroup", 0, VALUE },
	{ "tty", 't', .takes_value = false },
	{ "detach", 'd', .takes_value = false },
	{ "help", 'h', .takes_value = false },
	{ .name = "no-new-privs" },
	{ .name = "ignore-paused" },
	{ .name = NULL },
};

/* To tell a command from the value of an option that we do not know. */
static const struct {
	const char *name;
	enum runtime_command command;
} commands[] = {
	{ "create", RUNTIME_CREATE },
	{ "run", RUNTIME_CREATE },
	{ "restore", RUNTIME_CREATE },
	{ "exec", RUNTIME_EXEC },
	{ "start", RUNTIME_OTHER },
	{ "kill", RUNTIME_OTHER },
	{ "delete", RUNTIME_OTHER },
	{ "state", RUNTIME_OTHER },
	{ "list", RUNTIME_OTHER },
	{ "ps", RUNTIME_OTHER },
	{ "pause", RUNTIME_OTHER },
	{ "resume", RUNTIME_OTHER },
	{ "update", RUNTIME_OTHER },
	{ "events", RUNTIME_OTHER },
	{ "checkpoint", RUNTIME_OTHER },
	{ "features", RUNTIME_OTHER },
	{ "spec", RUNTIME_OTHER },
	{ "info", RUNTIME_OTHER },
	{ "mounts", RUNTIME_OTHER },
	{ "init", RUNTIME_OTHER },
	{ "completion", RUNTIME_OTHER },
	{ "help", RUNTIME_OTHER },
};

/* The command's row, or NULL. */
static const enum runtime_command *find_command(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, word) == 0)
			return &commands[i].command;
	return NULL;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

/* By its whole name, which for one of one letter is the letter. */
static const struct option *find_name(const struct option *options, const char *name, size_t len)
{
	for (; options->name; options++)
		if ((strlen(options->name) == len && memcmp(options->name, name, len) == 0) ||
			(len == 1 && options->letter == name[0]))
			return options;
	return NULL;
}

/* By the beginning of its name: getopt_long(3), crun's, takes that too. */
static const struct option *find_beginning(const struct option *options, const char *name, size_t len)
{
	for (; len > 0 && options->name; options++)
		if (strncmp(options->name, name, len) == 0)
			return options;
	return NULL;
}

/*
 * Letters that stand together, "-td" or "-tp FILE" or "-tpFILE": the first that takes a value, and in *ret_value what
 * stands behind it. NULL where there is none, with *ret_known false where there is one that we do not know.
 */
static const struct option *find_letters(
	const struct option *options, const char *letters, const char **ret_value, bool *ret_known)
{
	*ret_known = true;
	for (; *letters; letters++) {
		const struct option *option = find_name(options, letters, 1);
		if (!option) {
			*ret_known = false;
			return NULL;
		}
		if (option->takes_value) {
			*ret_value = letters[1] != '\0' ? letters + 1 : NULL;
			return option;
		}
	}
	return NULL;
}

struct reader {
	char **argv;
	int argc;
	int at; /* the next word */
	struct runtime_args *args;
};

/* However it is spelt, and among how many; a number may be any. */
static bool is_admin(const char *capabilities)
{
	return strcasestr(capabilities, "net_admin") || strcasestr(capabilities, "sys_admin") ||
	       strpbrk(capabilities, "0123456789");
}

/* Puts the option's value into its field: the one that it has with it, or the next word. */
static void take_value(struct reader *reader, const struct option *option, const char *with_it)
{
	const char *value = with_it;
	if (!value && reader->at < reader->argc)
		value = reader->argv[reader->at++];
	if (option->field && value && *value) /* empty is as if it were not there */
		memcpy((char *) reader->args + option->field, &value, sizeof(value));
	if (option->is_capability && value && is_admin(value))
		reader->args->admin_capability = value;
}

/* Reads one option. False: we do not know it, and it has no value with it. */
static bool read_option(struct reader *reader, const struct option *options)
{
	const char *word = reader->argv[reader->at++];
	bool one_dash = word[1] != '-';
	const char *name = word + (one_dash ? 1 : 2);
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t) (equals - name) : strlen(name);
	const struct option *option = find_name(options, name, len);
	if (!option && !one_dash)
		option = find_beginning(options, name, len);
	if (option) {
		if (option->takes_value)
			take_value(reader, option, equals ? equals + 1 : NULL);
		return true;
	}
	if (one_dash) {
		bool known;
		const char *value = NULL;
		option = find_letters(options, name, &value, &known);
		if (option)
			take_value(reader, option, value);
		if (option || known)
			return true;
	}
	return equals != NULL;
}

static bool more(const struct reader *reader)
{
	return reader->at < reader->argc;
}

/* Behind the command's own operands options are read as well: runc takes them there. */
static void read_create(struct reader *reader)
{
	while (more(reader)) {
		const char *word = reader->argv[reader->at];
		if (strcmp(word, "--") == 0)
			return;
		if (is_option(word))
			(void) read_option(reader, create_options);
		else
			reader->at++;
	}
}

/* Behind the id is a command line of somebody else's. */
static void read_exec(struct reader *reader)
{
	int end = 0;
	while (more(reader) && is_option(reader->argv[reader->at])) {
		const char *word = reader->argv[reader->at];
		if (strcmp(word, "--") == 0) {
			end = reader->at++;
			break;
		}
		if (!read_option(reader, exec_options) && !reader->args->doubt)
			reader->args->doubt = word;
	}
	if (!more(reader))
		return;
	reader->args->id = reader->at;
	reader->args->options_end = end ? end : reader->at;
}

static void read_command(struct reader *reader, enum runtime_command command)
{
	reader->args->restores = strcmp(reader->argv[reader->at], "restore") == 0;
	reader->at++;
	reader->args->command = command;
	if (command == RUNTIME_CREATE)
		read_create(reader);
	else if (command == RUNTIME_EXEC)
		read_exec(reader);
}

/* What follows an option that we do not know and is no command: that option's value, or a command that is new to us. */
static int read_doubtful(const struct reader *reader, const char *option, struct error *err)
{
	for (int i = reader->at; i < reader->argc; i++) {
		const enum runtime_command *command = find_command(reader->argv[i]);
		if (command && *command != RUNTIME_OTHER)
			return error_say(err, EINVAL,
				"the runtime's option %s is unknown here: it cannot be told whether \"%s\" is its "
				"value "
				"or the command, and the container may be one to guard; write %s=VALUE",
				option, reader->argv[reader->at], option);
	}
	return 0;
}

int runtime_args_parse(int argc, char **argv, struct runtime_args *ret, struct error *err)
{
	*ret = (struct runtime_args){ 0 };
	struct reader reader = { .argv = argv, .argc = argc, .at = 1, .args = ret };
	while (more(&reader)) {
		const char *word = argv[reader.at];
		if (is_option(word) && strcmp(word, "--") != 0) {
			if (read_option(&reader, global_options) || !more(&reader))
				continue;
			const char *next = argv[reader.at];
			if (!is_option(next) && !find_command(next))
				return read_doubtful(&reader, word, err);
			continue;
		}
		if (!is_option(word)) {
			const enum runtime_command *command = find_command(word);
			read_command(&reader, command ? *command : RUNTIME_OTHER);
			return 0;
		}
		reader.at++;
	}
	return 0;
}
