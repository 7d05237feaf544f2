/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/log_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

bool log_line_parse(const char *bytes, size_t len, struct log_line *ret)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] > 0x7e)
			return false;
	struct json *json;
	if (len < 2 || bytes[0] != '{' || bytes[len - 1] != '}' ||
		json_parse("log", bytes, len, false, &json, NULL) < 0)
		return false;
	*ret = (struct log_line){ .json = json, .bytes = bytes, .len = len };
	return true;
}

void log_line_clear(struct log_line *line)
{
	json_free(line->json);
	*line = (struct log_line){ 0 };
}

static const struct json_value *member(const struct log_line *line, const char *name, enum json_kind kind)
{
	const struct json_value *value = json_member(json_root(line->json), name);
	return value && value->kind == kind ? value : NULL;
}

static bool says(const struct log_line *line, const char *name, const char *word)
{
	const struct json_value *value = member(line, name, JSON_STRING);
	return value && json_is(value, word);
}

bool log_line_denied(const struct log_line *line)
{
	return says(line, "verdict", "denied");
}

static void take_name(const struct log_line *line, const char *key, char into[NAMING_MAX + 1])
{
	const struct json_value *value = member(line, key, JSON_STRING);
	if (value && value->len <= NAMING_MAX)
		(void) snprintf(into, NAMING_MAX + 1, "%.*s", (int) value->len, value->bytes);
}

bool log_line_names(const struct log_line *line, struct naming *names)
{
	if (!says(line, "event", "started"))
		return false;
	take_name(line, "namespace", names->namespace);
	take_name(line, "pod", names->pod);
	take_name(line, "name", names->container);
	return true;
}

/* A string, escaped, or a number as it is written; "-" for what is not there. */
static void add(struct text *text, const struct log_line *line, const char *key)
{
	const struct json_value *value = json_member(json_root(line->json), key);
	if (value && (value->kind == JSON_STRING || value->kind == JSON_NUMBER))
		text_add_escaped(text, value->bytes, value->len);
	else
		text_add(text, "-");
}

static void add_event(struct text *text, const struct log_line *line)
{
	add(text, line, "event");
	for (const char *const *key = (const char *const[]){ "reason", "error", "version", "ended", NULL }; *key;
		key++) {
		if (!json_member(json_root(line->json), *key))
			continue;
		text_add(text, "  %s ", *key);
		add(text, line, *key);
	}
}

static void add_connection(struct text *text, const struct log_line *line)
{
	const struct json_value *host = member(line, "host", JSON_STRING);
	bool bracket = host && memchr(host->bytes, ':', host->len);
	add(text, line, "verdict");
	text_add(text, bracket ? "  [" : "  ");
	add(text, line, "host");
	text_add(text, bracket ? "]:" : ":");
	add(text, line, "port");
	text_add(text, "  ");
	add(text, line, "reason");
	text_add(text, "  ");
	add(text, line, "bytes_up");
	text_add(text, " up ");
	add(text, line, "bytes_down");
	text_add(text, " down  ");
	add(text, line, "duration_ms");
	text_add(text, " ms");
}

void log_line_format(const struct log_line *line, const struct naming *names, struct text *text)
{
	char name[NAMING_TEXT_SIZE];
	bool started = says(line, "event", "started");
	add(text, line, "time");
	text_add(text, "  ");
	if (naming_known(names))
		text_add_escaped(text, name, strlen(naming_format(names, !started, name)));
	else
		add(text, line, "container");
	text_add(text, "  ");

	if (member(line, "event", JSON_STRING)) {
		add_event(text, line);
	} else if (says(line, "verdict", "open")) {
		text_add(text, "open  WITHOUT A GUARD: ");
		add(text, line, "reason");
	} else {
		add_connection(text, line);
	}
}

void log_line_format_json(const struct log_line *line, const struct naming *names, struct text *text)
{
	const struct json_value *root = json_root(line->json);
	text_add_bytes(text, line->bytes, line->len - 1);
	const struct {
		const char *key, *value;
	} added[] = { { "namespace", names->namespace }, { "pod", names->pod }, { "name", names->container } };
	for (size_t i = 0; i < ARRAY_SIZE(added); i++) {
		if (added[i].value[0] == '\0' || json_member(root, added[i].key))
			continue;
		text_add(text, ",\"%s\":", added[i].key);
		text_add_json(text, added[i].value, strlen(added[i].value));
	}
	text_add(text, "}");
}
