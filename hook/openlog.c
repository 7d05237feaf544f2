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

void openlog_write(const char *log_dir, const struct record *record)
{
	char name[STATE_ID_MAX + 8], line[8192], when[32];
	struct tm tm;
	time_t now = time(NULL);
	(void) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));

	struct text text = text_init(line, sizeof(line));
	text_add(&text,
		"{\"time\":\"%s\",\"container\":\"%s\",\"policy\":\"%s\",\"verdict\":\"open\",\"reason\":", when,
		record->id, record->policy);
	text_add_json(&text, record->reason, strlen(record->reason));
	text_add(&text, "}\n");

	_cleanup_close_ int dir = -1;
	if (text.cut || rundir_open(log_dir, &dir, NULL) < 0)
		return;
	(void) snprintf(name, sizeof(name), "%s.log", record->id);
	make_room(dir, name, text.len);
	_cleanup_close_ int fd =
		openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void) io_write_all(fd, line, text.len, NULL);
}
