/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct option_row *options_find(const struct option_row *rows, const char *name, size_t len)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == len && memcmp(rows->name, name, len) == 0)
			return rows;
	return NULL;
}

static int options_parse_one(char **argv, int argc, int *i, const struct option_row *rows, struct error *err)
{
	const char *arg = argv[*i];
	if (arg[1] != '-')
		return error_say(err, EINVAL, "%s: options are long, as in --help", arg);

	const char *name = arg + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t) (equals - name) : strlen(name);
	const struct option_row *row = options_find(rows, name, len);
	if (!row)
		return error_say(err, EINVAL, "unknown option --%.*s; --help lists those there are", (int) len, name);
	if (!row->argument) {
		if (equals)
			return error_say(err, EINVAL, "option --%s takes no value", row->name);
		*row->flag = true;
		return 0;
	}
	if (equals)
		*row->value = equals + 1;
	else if (*i + 1 < argc)
		*row->value = argv[++*i];
	else
		return error_say(
			err, EINVAL, "option --%s needs a value: --%s %s", row->name, row->name, row->argument);
	return 0;
}

int options_parse(int *argc, char **argv, const struct option_row *rows, struct error *err)
{
	int operands = 1;
	bool all_operands = false;
	for (int i = 1; i < *argc; i++) {
		if (all_operands || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[operands++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			all_operands = true;
		} else {
			int r = options_parse_one(argv, *argc, &i, rows, err);
			if (r < 0)
				return r;
		}
	}
	*argc = operands;
	return 0;
}

void options_print(const struct option_row *rows)
{
	for (; rows->name; rows++) {
		char left[64];
		(void) snprintf(left, sizeof(left), "--%s%s%s", rows->name, rows->argument ? " " : "",
			rows->argument ? rows->argument : "");
		(void) printf("  %-22s %s\n", left, rows->text);
	}
}
