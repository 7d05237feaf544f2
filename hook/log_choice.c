/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/log_choice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/log_line.h"
#include "hook/log_reader.h"

#define NAMED_MAX 8 /* candidates that a message lists */

void log_choices_free(struct log_choices *choices)
{
	free(choices->v);
	*choices = (struct log_choices){ 0 };
}

static bool has_suffix(const char *name, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);
	return len > n && memcmp(name + len - n, suffix, n) == 0;
}

bool log_choice_id(const char *name, char ret[STATE_ID_MAX + 1])
{
	size_t len = strlen(name);
	if (has_suffix(name, len, ".log.1"))
		len -= strlen(".1");
	if (name[0] == '.' || !has_suffix(name, len, ".log") || len - strlen(".log") > STATE_ID_MAX)
		return false;
	(void) snprintf(ret, STATE_ID_MAX + 1, "%.*s", (int) (len - strlen(".log")), name);
	return true;
}

static struct log_choice *find_id(const struct log_choices *choices, const char *id)
{
	for (size_t i = 0; i < choices->n; i++)
		if (strcmp(choices->v[i].id, id) == 0)
			return &choices->v[i];
	return NULL;
}

/* One that is there stays: a record knows more than a file's name. */
static int add(struct log_choices *choices, const struct log_choice *choice)
{
	struct log_choice *there = find_id(choices, choice->id);
	if (there) {
		if (!naming_known(&there->names))
			there->names = choice->names;
		return 0;
	}
	if ((choices->n & (choices->n - 1)) == 0) {
		struct log_choice *v = reallocarray(choices->v, choices->n ? 2 * choices->n : 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		choices->v = v;
	}
	choices->v[choices->n++] = *choice;
	return 0;
}

static int add_record(const struct record *record, void *arg)
{
	struct log_choice choice = { .names = record->names };
	(void) snprintf(choice.id, sizeof(choice.id), "%s", record->id);
	(void) snprintf(choice.log, sizeof(choice.log), "%s", record->log[0] != '\0' ? record->log : record->id);
	return add(arg, &choice);
}

static int add_files(int dir, struct log_choices *choices)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		int r = -errno;
		cleanup_close(&copy);
		return r;
	}
	for (const struct dirent *e = readdir(stream); e; e = readdir(stream)) {
		struct log_choice choice = { 0 };
		if (!log_choice_id(e->d_name, choice.id))
			continue;
		memcpy(choice.log, choice.id, sizeof(choice.log));
		int r = add(choices, &choice);
		if (r < 0)
			return r;
	}
	return 0;
}

int log_choices_read(int dir, int run, struct log_choices *ret, struct error *err)
{
	struct log_choices choices = { 0 };
	int r = run < 0 ? 0 : record_each(run, add_record, &choices, err);
	if (r == 0) {
		r = add_files(dir, &choices);
		if (r < 0)
			(void) error_set(err, -r, "logs");
	}
	if (r < 0) {
		log_choices_free(&choices);
		return r;
	}
	*ret = choices;
	return 0;
}

const struct naming *log_choices_names(const struct log_choices *choices, const char *log)
{
	for (size_t i = 0; i < choices->n; i++)
		if (strcmp(choices->v[i].log, log) == 0 && naming_known(&choices->v[i].names))
			return &choices->v[i].names;
	return NULL;
}

static int add_line(struct log_choices *choices, const char *log, const char *bytes, size_t len)
{
	static const char started[] = "\"event\":\"started\"";
	struct log_line line;
	if (!memmem(bytes, len, started, strlen(started)) || !log_line_parse(bytes, len, &line))
		return 0;
	struct log_choice choice = { 0 };
	const struct json_value *id = json_member(json_root(line.json), "container");
	int r = 0;
	if (log_line_names(&line, &choice.names) && id && id->kind == JSON_STRING && id->len <= STATE_ID_MAX) {
		(void) snprintf(choice.id, sizeof(choice.id), "%.*s", (int) id->len, id->bytes);
		(void) snprintf(choice.log, sizeof(choice.log), "%s", log);
		r = add(choices, &choice);
	}
	log_line_clear(&line);
	return r;
}

/* What containers that are gone were called, their logs say. */
static int add_names_in(int dir, struct log_choices *choices, const char *log, struct error *err)
{
	struct log_reader *reader;
	int r = log_reader_open(dir, log, &reader, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	const char *bytes;
	size_t len;
	while ((r = log_reader_next(reader, &bytes, &len, err)) > 0) {
		r = add_line(choices, log_reader_id(reader), bytes, len);
		if (r < 0) {
			(void) error_set(err, -r, "logs");
			break;
		}
	}
	log_reader_free(reader);
	return r;
}

static int add_names(int dir, struct log_choices *choices, struct error *err)
{
	size_t n = choices->n;
	for (size_t i = 0; i < n; i++) {
		char log[STATE_ID_MAX + 1];
		memcpy(log, choices->v[i].log, sizeof(log)); /* v moves when it grows */
		if (strcmp(log, choices->v[i].id) != 0)
			continue; /* that of another, whose turn comes */
		int r = add_names_in(dir, choices, log, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_candidate(struct text *text, const struct log_choice *choice, size_t n)
{
	char name[NAMING_TEXT_SIZE];
	if (n >= NAMED_MAX)
		return;
	text_add(text, "%s%s", n > 0 ? ", " : "", choice->id);
	if (naming_known(&choice->names))
		text_add(text, " (%s)", naming_format(&choice->names, false, name));
}

const struct log_choice *log_choices_find(int dir, struct log_choices *choices, const char *wanted, struct error *err)
{
	const struct log_choice *found = find_id(choices, wanted);
	if (found)
		return found;
	if (add_names(dir, choices, err) < 0)
		return NULL;

	char candidates[512];
	struct text text = text_init(candidates, sizeof(candidates));
	size_t n = 0, logs = 0;
	for (size_t i = 0; i < choices->n; i++) {
		const struct log_choice *choice = &choices->v[i];
		if (wanted[0] == '\0' ||
			(strncmp(choice->id, wanted, strlen(wanted)) != 0 && !naming_is(&choice->names, wanted)))
			continue;
		add_candidate(&text, choice, n++);
		if (!found || strcmp(found->log, choice->log) != 0)
			logs++;
		found = choice;
	}
	if (logs == 1)
		return found;

	char escaped[256];
	struct text of = text_init(escaped, sizeof(escaped));
	text_add_escaped(&of, wanted, strlen(wanted));
	if (logs == 0)
		(void) error_say(err, ESRCH, "there is no log of a container %s", escaped);
	else
		(void) error_say(err, EINVAL, "%s can be any of %zu containers: %s%s", escaped, n, candidates,
			n > NAMED_MAX || text.cut ? ", ..." : "");
	return NULL;
}
