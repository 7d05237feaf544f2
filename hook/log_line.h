/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a container's log, read, and written for people. The log is ours; what stands in it is a stranger's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "oci/json.h"
#include "oci/naming.h"

#define LOG_LINE_TEXT_MAX 32768 /* what is written of one line takes at most */

struct log_line {
	struct json *json;
	const char *bytes;
	size_t len;
};

/* Reads a line, which must outlive *ret. false: it is none of ours, or only a part of one. */
bool log_line_parse(const char *bytes, size_t len, struct log_line *ret);
void log_line_clear(struct log_line *line);

bool log_line_denied(const struct log_line *line);

/* Does the line say what a container is called? Then what it says is put over *names. */
bool log_line_names(const struct log_line *line, struct naming *names);

/* One line for people, all of it in 0x20..0x7e: time, name, what happened, to whom, why. */
void log_line_format(const struct log_line *line, const struct naming *names, struct text *text);

/* The line as it is, with the names added. */
void log_line_format_json(const struct log_line *line, const struct naming *names, struct text *text);
