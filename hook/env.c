/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress env`: the variables that a container gets, and why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/choice.h"
#include "hook/command.h"
#include "hook/policyfile.h"
#include "hook/runtime_edit.h"

#define TEXT_MAX (6 * BOUQUET_SIZE) /* of a value, however it is escaped */
#define COLUMN_MAX 48               /* wider ones push the others aside */

static struct command_places places;
static const char *policy, *format;

static const struct option_row options[] = {
	{ "policy", "FILE", "the policy: a file, which has a / or ends with .json, or the name of one of this host's",
		&policy, NULL },
	{ "format", "FORMAT", "sh: for a shell to read; json: an array; table: for people, the default", &format,
		NULL },
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "policies", "DIR", "where policies are (/etc/oci-egress/policies)", &places.policies, NULL },
	{ 0 },
};

/* One line: a variable, and its row of the table, where that is what says so. */
struct line {
	const char *name;
	int name_len;
	const char *value; /* NULL: it is taken out */
	bool appended;
	const struct bouquet_row *row; /* NULL: the policy sets it */
	const char *clients, *documented;
};

static struct line line_at(const struct bouquet *bouquet, const struct image *image, size_t i)
{
	const char *text = bouquet_text(bouquet, i);
	size_t len = strcspn(text, "=");
	struct line line = {
		.name = text,
		.name_len = (int) len,
		.value = i < bouquet->n ? text + len + 1 : NULL,
		.appended = i == bouquet->appended,
		.row = bouquet_row(text, len),
	};
	const struct image_text *set = image ? image_records(image, image->environment.set) : NULL;
	for (uint32_t k = 0; image && k < image->environment.set.count; k++)
		if (strcmp(image_string(image, set[k]), text) == 0)
			line.row = NULL;
	line.clients = line.row ? line.row->clients : "set by the policy";
	line.documented = line.row ? line.row->documented : image_string(image, image->file);
	return line;
}

/* A word that shells take as it is. */
static void print_quoted(const char *value)
{
	(void) putchar('\'');
	for (; *value; value++) {
		if (*value == '\'')
			(void) fputs("'\\''", stdout);
		else
			(void) putchar(*value);
	}
	(void) putchar('\'');
}

static void print_escaped(const char *value, bool json)
{
	static char buf[TEXT_MAX];
	struct text text = text_init(buf, sizeof(buf));
	(json ? text_add_json : text_add_escaped)(&text, value, strlen(value));
	(void) fputs(buf, stdout);
}

static void print_sh(const struct line *line)
{
	(void) fputs("# ", stdout);
	print_escaped(line->clients, false);
	(void) fputs("; ", stdout);
	print_escaped(line->documented, false);
	if (line->row && line->row->trap)
		(void) printf("; %s", line->row->trap);
	if (!line->value) {
		(void) printf("\nunset %.*s\n", line->name_len, line->name);
		return;
	}
	(void) printf("\nexport %.*s=", line->name_len, line->name);
	if (line->appended)
		(void) printf("\"${%.*s:+$%.*s }\"", line->name_len, line->name, line->name_len, line->name);
	print_quoted(line->value);
	(void) putchar('\n');
}

static const char *kind_name(const struct bouquet_row *row)
{
	static const char *const names[] = {
		[BOUQUET_PROXY] = "proxy", [BOUQUET_MARKER] = "marker", [BOUQUET_SECRET] = "secret"
	};
	return row ? names[row->kind] : "policy";
}

static void print_json(const struct line *line)
{
	(void) printf("{\"name\":\"%.*s\",\"action\":\"%s\",\"value\":", line->name_len, line->name,
		!line->value     ? "remove"
		: line->appended ? "append"
				 : "set");
	if (line->value)
		print_escaped(line->value, true);
	else
		(void) fputs("null", stdout);
	(void) printf(",\"kind\":\"%s\",\"clients\":", kind_name(line->row));
	print_escaped(line->clients, true);
	(void) fputs(",\"documented\":", stdout);
	print_escaped(line->documented, true);
	(void) fputs(",\"trap\":", stdout);
	if (line->row && line->row->trap)
		print_escaped(line->row->trap, true);
	else
		(void) fputs("null", stdout);
	(void) putchar('}');
}

static const char *shown_value(const struct line *line, char buf[TEXT_MAX])
{
	struct text text = text_init(buf, TEXT_MAX);
	if (!line->value)
		text_add(&text, "(taken out)");
	else if (line->appended)
		text_add(&text, "(behind its own) ");
	if (line->value)
		text_add_escaped(&text, line->value, strlen(line->value));
	return buf;
}

struct widths {
	int name, value, clients;
};

static void widen(int *width, size_t len)
{
	if (len <= COLUMN_MAX && (int) len > *width)
		*width = (int) len;
}

static struct widths measure(const struct bouquet *bouquet, const struct image *image)
{
	static char value[TEXT_MAX];
	struct widths widths = { 0 };
	for (size_t i = 0; i < bouquet->n + bouquet->n_out; i++) {
		struct line line = line_at(bouquet, image, i);
		widen(&widths.name, (size_t) line.name_len);
		widen(&widths.value, strlen(shown_value(&line, value)));
		widen(&widths.clients, strlen(line.clients));
	}
	return widths;
}

static void print_table(const struct line *line, const struct widths *widths)
{
	static char value[TEXT_MAX];
	(void) printf("%-*.*s  %-*s  %-*s  ", widths->name, line->name_len, line->name, widths->value,
		shown_value(line, value), widths->clients, line->clients);
	print_escaped(line->documented, false);
	(void) putchar('\n');
	if (line->row && line->row->trap)
		(void) printf("    %s\n", line->row->trap);
}

/* As in the memory of a program: each with its NUL and its pointer is what execve(2) counts. */
static size_t cost(const struct bouquet *bouquet)
{
	size_t bytes = 0;
	for (size_t i = 0; i < bouquet->n; i++)
		bytes += strlen(bouquet_text(bouquet, i)) + 1 + sizeof(char *);
	return bytes;
}

static void print_all(const struct bouquet *bouquet, const struct image *image)
{
	bool json = format && strcmp(format, "json") == 0, sh = format && strcmp(format, "sh") == 0;
	struct widths widths = measure(bouquet, image);
	for (size_t i = 0; i < bouquet->n + bouquet->n_out; i++) {
		struct line line = line_at(bouquet, image, i);
		if (json) {
			(void) fputs(i == 0 ? "[" : ",\n", stdout);
			print_json(&line);
		} else if (sh) {
			print_sh(&line);
		} else {
			print_table(&line, &widths);
		}
	}
	if (json)
		(void) fputs(bouquet->n + bouquet->n_out == 0 ? "[]\n" : "]\n", stdout);
	else if (!sh)
		(void) printf("%zu variables, %zu bytes\n", bouquet->n, cost(bouquet));
}

static int take_policy(const struct settings *settings, struct plan *plan, struct error *err)
{
	if (!policy)
		return 0;
	size_t len = strlen(policy);
	if (strchr(policy, '/') || (len > 5 && strcmp(policy + len - 5, ".json") == 0)) {
		int r = policyfile_compile(policy, &plan->compiled, err);
		plan->image = plan->compiled;
		return r;
	}
	int r = choice_take(settings, "--policy", policy, plan, err);
	return r < 0 ? r : choice_compile(settings, plan, err);
}

static int env(int argc, char **argv, struct error *err)
{
	static struct settings settings;
	static struct bouquet bouquet;
	int r = options_parse(&argc, argv, options, err);
	if (r == 0 && argc > 1)
		r = error_say(err, EINVAL, "%s: expected no operand", argv[1]);
	if (r == 0 && format && strcmp(format, "sh") != 0 && strcmp(format, "json") != 0 &&
		strcmp(format, "table") != 0)
		r = error_say(err, EINVAL, "--format %s: expected sh, json or table", format);
	if (r == 0)
		r = command_settings(&places, &settings, err);
	if (r < 0)
		return r;

	struct plan plan = PLAN_EMPTY;
	r = take_policy(&settings, &plan, err);
	if (r == 0) {
		runtime_edit_expect_bouquet(&settings, plan.image, &bouquet);
		print_all(&bouquet, plan.image);
	}
	plan_clear(&plan);
	return r;
}

static int run_env(int argc, char **argv)
{
	struct error err;
	if (env(argc, argv, &err) == 0)
		return 0;
	(void) fprintf(stderr, "oci-egress env: %s\n", err.msg);
	return 1;
}

const struct command command_env = {
	.name = "env",
	.operands = "",
	.text = "say which variables a container gets by a policy, or by one that says nothing, who reads each, and "
		"what "
		"to mind",
	.run = run_env,
	.options = options,
};
