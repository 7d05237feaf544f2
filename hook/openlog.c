/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/openlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"

#define OPENLOG_MAX_BYTES (4u << 20) /* twice: one older file is kept, as a keeper does */

/* Makes room for a line: an engine can start the same container as often as it likes. */
static void make_room(int dir, const char *name, size_t len)
{
	char older[STATE_ID_MAX + 8 + sizeof(".1")];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (uint64_t) st.st_size + len <= OPENLOG_MAX_BYTES)
		return;
	(void) snprintf(older, sizeof(older), "%s.1", name);
	(void) renameat(dir, name, dir, older);
}

static void add_start(struct text *text, const struct record *record)
{
	char when[32];
	struct timespec now;
	struct tm tm;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	(void) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	text_add(text, "{\"time\":\"%s.%03ldZ\",\"container\":\"%s\",\"policy\":\"%s\",", when, now.tv_nsec / 1000000,
		record->id, record->policy);
}

static void append(int dir, const char *name, const struct text *line)
{
	_cleanup_close_ int fd =
		openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void) io_write_all(fd, line->buf, line->len, NULL);
}

void openlog_write(const char *log_dir, const struct record *record)
{
	char name[STATE_ID_MAX + 8], line[8192];
	struct text text = text_init(line, sizeof(line));
	add_start(&text, record);
	text_add(&text, "\"verdict\":\"open\",\"reason\":");
	text_add_json(&text, record->reason, strlen(record->reason));
	text_add(&text, "}\n");

	_cleanup_close_ int dir = -1;
	if (text.cut || rundir_open(log_dir, &dir, NULL) < 0)
		return;
	(void) snprintf(name, sizeof(name), "%s.log", record->id);
	make_room(dir, name, text.len);
	append(dir, name, &text);
}

/* The keeper, which has just opened the log, sees to its size. */
void openlog_write_names(const char *log_dir, const struct record *record)
{
	char name[STATE_ID_MAX + 8], line[2048];
	const struct naming *names = &record->names;
	struct text text = text_init(line, sizeof(line));
	add_start(&text, record);
	text_add(&text, "\"event\":\"started\",\"namespace\":\"%s\",\"pod\":\"%s\",\"name\":\"%s\"}\n",
		names->namespace, names->pod, names->container);

	_cleanup_close_ int dir = -1;
	if (text.cut || rundir_open(log_dir, &dir, NULL) < 0)
		return;
	(void) snprintf(name, sizeof(name), "%s.log", record->log);
	append(dir, name, &text);
}
