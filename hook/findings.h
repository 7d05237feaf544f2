/* SPDX-License-Identifier: Apache-2.0 */
/* What a doctor finds, said as it is found: a line each, for people or as JSON. */
#pragma once

#include <stdbool.h>

struct findings {
	bool json;
	unsigned faults;
};

/* All is well with what; the rest says how. Text from elsewhere may be in it: it is escaped. */
void findings_ok(struct findings *findings, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Neither good nor bad. */
void findings_note(struct findings *findings, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Something is wrong with what; mend: the command, or what else has to be done. The rest says what is wrong. */
void findings_fault(struct findings *findings, const char *what, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
