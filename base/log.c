/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

static const char *log_ident = "oci-egress";
static bool log_to_syslog;

void log_open(const char *ident)
{
	log_ident = ident;
	log_to_syslog = true;
	openlog(ident, LOG_PID, LOG_DAEMON);
}

__attribute__((format(printf, 2, 0))) static void log_vprint(int priority, const char *fmt, va_list ap)
{
	char raw[ERROR_MESSAGE_MAX * 2];
	(void) vsnprintf(raw, sizeof(raw), fmt, ap);

	char line[sizeof(raw) + 256];
	struct text text = text_init(line, sizeof(line));
	text_add_escaped(&text, raw, strlen(raw));

	if (log_to_syslog)
		syslog(priority, "%s", line);
	(void) dprintf(STDERR_FILENO, "%s: %s\n", log_ident, line);
}

void log_error(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprint(LOG_ERR, fmt, ap);
	va_end(ap);
}

void log_warning(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprint(LOG_WARNING, fmt, ap);
	va_end(ap);
}
