/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define FINDING_TEXT_MAX 1024

static void say_json(const char *what, const char *verdict, const char *why, const char *mend)
{
	char buf[8 * FINDING_TEXT_MAX];
	struct text text = text_init(buf, sizeof(buf));
	text_add(&text, "{\"check\":");
	text_add_json(&text, what, strlen(what));
	text_add(&text, ",\"ok\":%s,\"why\":", verdict);
	text_add_json(&text, why, strlen(why));
	if (mend) {
		text_add(&text, ",\"mend\":");
		text_add_json(&text, mend, strlen(mend));
	}
	text_add(&text, "}");
	(void) puts(buf);
}

static void say_text(const char *what, const char *verdict, const char *why, const char *mend)
{
	char buf[8 * FINDING_TEXT_MAX];
	struct text text = text_init(buf, sizeof(buf));
	text_add(&text, "%-4s %-12s ", verdict, what);
	text_add_escaped(&text, why, strlen(why));
	if (mend) {
		text_add(&text, "\n     %-12s -> ", "");
		text_add_escaped(&text, mend, strlen(mend));
	}
	(void) puts(buf);
}

__attribute__((format(printf, 5, 0))) static void say(const struct findings *findings, const char *what,
	const char *const verdicts[2], const char *mend, const char *fmt, va_list ap)
{
	char why[FINDING_TEXT_MAX];
	(void) vsnprintf(why, sizeof(why), fmt, ap);
	if (findings->json)
		say_json(what, verdicts[1], why, mend);
	else
		say_text(what, verdicts[0], why, mend);
	(void) fflush(stdout); /* before the next check, which may take a moment */
}

void findings_ok(struct findings *findings, const char *what, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(findings, what, (const char *const[]){ "ok", "true" }, NULL, fmt, ap);
	va_end(ap);
}

void findings_note(struct findings *findings, const char *what, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(findings, what, (const char *const[]){ "-", "null" }, NULL, fmt, ap);
	va_end(ap);
}

void findings_fault(struct findings *findings, const char *what, const char *mend, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(findings, what, (const char *const[]){ "NOT", "false" }, mend, fmt, ap);
	va_end(ap);
	findings->faults++;
}
