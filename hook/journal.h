/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `install` has found and what it has made of it, for `uninstall` to take back: a file per engine, in a directory
 * that is closed to others.
 */
#pragma once

#include "hook/install.h"

/* Makes the directory where need be, and holds its lock until *ret_fd is closed. */
int journal_lock(const struct install *install, int *ret_fd, struct error *err);

/* What is known of an engine; *ret_there: there is a journal at all. */
int journal_read(const struct install *install, const char *engine, struct install_files *ret, bool *ret_there,
	struct error *err);

/* Writes it anew; without files it is removed. */
int journal_write(
	const struct install *install, const char *engine, const struct install_files *files, struct error *err);
