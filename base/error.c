/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void error_format(
	struct error *err, int errnum, const char *fmt, va_list ap)
{
	err->code = -errnum;
	err->closed = false;
	(void) vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
}

int error_set(struct error *err, int errnum, const char *fmt, ...)
{
	if (!err)
		return -errnum;

	va_list ap;
	va_start(ap, fmt);
	error_format(err, errnum, fmt, ap);
	va_end(ap);

	size_t len = strlen(err->msg);
	(void) snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(errnum));
	return -errnum;
}

int error_say(struct error *err, int errnum, const char *fmt, ...)
{
	if (!err)
		return -errnum;

	va_list ap;
	va_start(ap, fmt);
	error_format(err, errnum, fmt, ap);
	va_end(ap);
	return -errnum;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	if (!err)
		return -EINVAL;

	char msg[sizeof(err->msg)];
	memcpy(msg, err->msg, sizeof(msg));

	va_list ap;
	va_start(ap, fmt);
	(void) vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);

	size_t len = strlen(err->msg);
	(void) snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", msg);
	return err->code;
}

int error_close(struct error *err)
{
	if (!err)
		return -EINVAL;
	err->closed = true;
	return err->code;
}
