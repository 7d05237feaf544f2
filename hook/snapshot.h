/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of the host's resolv.conf and hosts for the worker, which opens no path. */
#pragma once

#include "base/error.h"

/* Copies a host's file into a sealed memfd, *ret_fd, the caller's; it stays as it is where the host has none or an
 * empty one. */
int snapshot(const char *path, int *ret_fd, struct error *err);
