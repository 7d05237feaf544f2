/* SPDX-License-Identifier: Apache-2.0 */
/* Which log is meant: by a container's id, the beginning of one, or what an engine calls it. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "hook/record.h"

/* A container, and the log that its connections are in: that of who was first in its network namespace. */
struct log_choice {
	char id[STATE_ID_MAX + 1];
	char log[STATE_ID_MAX + 1];
	struct naming names;
};

struct log_choices {
	struct log_choice *v;
	size_t n;
};

/* Adds each container that has a log in the directory dir, or a record in run (-1: there is none). */
int log_choices_read(int dir, int run, struct log_choices *ret, struct error *err);
void log_choices_free(struct log_choices *choices);

/* Those of its log where a log's name is asked for: the first that has names, or NULL. */
const struct naming *log_choices_names(const struct log_choices *choices, const char *log);

/*
 * The one that wanted means. What the logs say of names is read where nothing else tells. NULL and err: none (ESRCH),
 * or more than one, which are named.
 */
const struct log_choice *log_choices_find(int dir, struct log_choices *choices, const char *wanted, struct error *err);

/* The id in a log's file name, NAME.log or NAME.log.1; false: the file is none. */
bool log_choice_id(const char *name, char ret[STATE_ID_MAX + 1]);
