/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define COMMAND_LINE_MAX (64u << 10)

/* What stands behind the option, in this argument or in the next one, which ends at end. */
static const char *option_value(const char *argument, const char *next, const char *end)
{
	if (strncmp(argument, "--bundle=", strlen("--bundle=")) == 0)
		return argument + strlen("--bundle=");
	if (strcmp(argument, "--bundle") != 0 && strcmp(argument, "-b") != 0)
		return NULL;
	return next < end ? next : NULL;
}

const char *bundle_of_command_line(const char *text, size_t len)
{
	const char *end = text + len;
	for (const char *p = text; p < end;) {
		const char *next = p + strnlen(p, (size_t) (end - p)) + 1;
		if (next > end)
			return NULL; /* cut off */
		const char *value = option_value(p, next, end);
		if (value)
			return value[0] == '/' && memchr(value, '\0', (size_t) (end - value)) ? value : NULL;
		p = next;
	}
	return NULL;
}

int bundle_find(const char *said, char ret[PATH_MAX], struct error *err)
{
	_cleanup_free_ char *text = NULL;
	const char *bundle = NULL;
	if (strcmp(said, "/") == 0) {
		char path[64];
		size_t len;
		(void) snprintf(path, sizeof(path), "/proc/%d/cmdline", (int) getppid());
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && io_read_all(fd, COMMAND_LINE_MAX, &text, &len, NULL) == 0)
			bundle = bundle_of_command_line(text, len);
	}
	if ((size_t) snprintf(ret, PATH_MAX, "%s", bundle ? bundle : said) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "bundle %.64s...", said);
	return 0;
}
