/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's log, LOG/ID.log and the older LOG/ID.log.1 before it, as one row of lines, in their order. A keeper may
 * rotate it meanwhile: what is read goes on with the next file and misses nothing.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/naming.h"

struct log_reader;

/* id: as in the file's name. dir must stay. -ENOENT: there is no such log. -EINVAL: it is no regular file. */
int log_reader_open(int dir, const char *id, struct log_reader **ret, struct error *err);
void log_reader_free(struct log_reader *reader);

/*
 * The next line, without its end and not terminated, valid until the next call. 1: a line; 0: none yet; -errno. One
 * that is longer than any that is ever written is passed over.
 */
int log_reader_next(struct log_reader *reader, const char **ret_line, size_t *ret_len, struct error *err);

const char *log_reader_id(const struct log_reader *reader);
