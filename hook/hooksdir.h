/* SPDX-License-Identifier: Apache-2.0 */
/* `hooks_dir` where several files may set it: containers.conf(5), crio.conf(5). The last that does replaces all before.
 */
#pragma once

#include "hook/install.h"
#include "oci/toml.h"

#define HOOKSDIR_DEFAULT "/usr/share/containers/oci/hooks.d"
#define HOOKSDIR_MAX 16

struct hooksdir {
	const char *path; /* of the key, oci/toml.h */
	size_t path_len;
	size_t n;
	char *dirs[HOOKSDIR_MAX]; /* what holds after the files read so far */
	char *file;               /* the last that has the key; NULL: none, and dirs is the default */
};

/* What holds without a file; path is a literal. */
int hooksdir_init(struct hooksdir *ret, const char *path, size_t path_len, struct error *err);
void hooksdir_clear(struct hooksdir *hooksdir);
#define _cleanup_hooksdir_ __attribute__((cleanup(hooksdir_clear)))

/* Puts a file over what holds, where there is one and it has the key. */
int hooksdir_read(struct hooksdir *hooksdir, int root, const char *file, struct error *err);

/* The same for a directory's files of that suffix, in their order, but for the one called but (NULL: none). */
int hooksdir_read_dir(
	struct hooksdir *hooksdir, int root, const char *dir, const char *suffix, const char *but, struct error *err);

bool hooksdir_has(const struct hooksdir *hooksdir, const char *dir);

/* "hooks_dir = [...]": all that hold, and dir. False: it does not fit. */
bool hooksdir_line(const struct hooksdir *hooksdir, const char *dir, char *ret, size_t size);

/* Adds hooksdir->file to the plan, with install->hooks_dir in its list. */
int hooksdir_add_element(const struct hooksdir *hooksdir, struct install *install, struct error *err);

/* Adds file to the plan, with a hooks_dir in the table of that path: all that hold, and install->hooks_dir. */
int hooksdir_add_line(const struct hooksdir *hooksdir, struct install *install, const char *file, const char *shown,
	struct error *err);

/* Takes dir out of each hooks_dir in the text; a list that has nothing else goes too. */
int hooksdir_strip(const char *file, const char *dir, const char *text, size_t len, char **ret, size_t *ret_len,
	struct error *err);
