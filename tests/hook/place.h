/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, gone with everything in it when the test is over. */
#pragma once

/* Makes it and goes there. Returns its path, which place_leave() takes. */
char *place_enter(void);
void place_leave(char *path);

/* Writes a file in it. */
void place_write(const char *name, const char *text);
