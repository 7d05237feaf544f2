/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define NAME "oci-egress-runtime"

/* crun takes "file:PATH" as well as a path; its other two, syslog: and journald:, get what syslog gets anyway. */
static int open_log(const char *log)
{
	if (strncmp(log, "syslog:", 7) == 0 || strncmp(log, "journald:", 9) == 0)
		return -1;
	if (strncmp(log, "file:", 5) == 0)
		log += 5;
	return open(log, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0644);
}

static void format(struct text *line, const struct runtime_args *args, const char *msg)
{
	char when[32];
	struct tm tm;
	time_t now = time(NULL);
	(void) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));

	if (args->log_format && strcmp(args->log_format, "json") == 0) {
		text_add(line, "{\"level\":\"error\",\"msg\":");
		text_add_json(line, msg, strlen(msg));
		text_add(line, ",\"time\":\"%s\"}\n", when);
	} else {
		text_add(line, "time=\"%s\" level=error msg=", when);
		text_add_json(line, msg, strlen(msg));
		text_add(line, "\n");
	}
}

void runtime_log(const struct runtime_args *args, const char *msg)
{
	char escaped[4 * ERROR_MESSAGE_MAX + 1], line[8 * ERROR_MESSAGE_MAX];
	struct text plain = text_init(escaped, sizeof(escaped));
	text_add_escaped(&plain, msg, strlen(msg));
	openlog(NAME, LOG_PID, LOG_DAEMON);
	syslog(LOG_ERR, "%s", escaped);

	if (!args->log || args->log[0] == '\0') {
		(void) dprintf(STDERR_FILENO, NAME ": %s\n", escaped);
		return;
	}
	struct text text = text_init(line, sizeof(line));
	format(&text, args, msg);
	_cleanup_close_ int fd = open_log(args->log);
	if (fd >= 0)
		(void) !write(fd, line, text.len);
}
