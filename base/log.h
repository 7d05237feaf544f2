/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entry points say to people: one line on stderr and the same in syslog(3) (facility daemon), since crun gives
 * hooks no stderr that anybody reads. Bytes outside 0x20..0x7e are escaped: names in messages are a stranger's.
 */
#pragma once

/* Names the program in both places; without it nothing goes to syslog. ident must stay valid. */
void log_open(const char *ident);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
