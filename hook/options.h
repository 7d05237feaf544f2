/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines by table: long options that take a value, "--name VALUE" or "--name=VALUE", or none; "--" ends them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct option_row {
	const char *name;     /* without "--" */
	const char *argument; /* for the help, "DIR"; NULL: the option is a flag */
	const char *text;     /* for the help, one line */
	const char **value;   /* where argument is given: gets a pointer into argv */
	bool *flag;           /* where it is not */
};

/*
 * Parses argv by a table that ends with a row without a name. Options may stand before and behind operands; behind "--"
 * all are operands. What is left is argv[1..*argc): the operands. -EINVAL: what is wrong.
 */
int options_parse(int *argc, char **argv, const struct option_row *rows, struct error *err);

/* Prints the rows as lines of help to stdout. */
void options_print(const struct option_row *rows);
