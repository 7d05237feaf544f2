/* SPDX-License-Identifier: Apache-2.0 */
/* A namespace's lock, RUN/KEY.lock, as a keeper takes it: never waiting. */
#pragma once

#include "base/error.h"

/*
 * flock(2) on KEY.lock of the directory. 0 and *ret_fd (the caller's); -EAGAIN: somebody has it. The file locked is the
 * one that has the name: whoever ends unlinks it under the lock, and a later one's file is another.
 */
int lock_try(int dir, const char *key, int *ret_fd, struct error *err);
