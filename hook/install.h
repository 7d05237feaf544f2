/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `oci-egress install ENGINE` and `uninstall` share: a plan, made by the engine's file, is a list of files as they
 * are and as they are to be; it is shown, journalled and carried out here. Nothing is written before the plan is whole.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define INSTALL_FILES_MAX 64

/* How oci-egress's part of a file is told from the rest. */
enum install_part {
	INSTALL_OWN,        /* all of it */
	INSTALL_LINK,       /* a symbolic link, whose text is its target */
	INSTALL_DOCKER,     /* runtimes in daemon.json */
	INSTALL_HOOKS_DIR,  /* our directory in a hooks_dir of containers.conf or crio.conf */
	INSTALL_CONTAINERD, /* a runtime in containerd's config.toml */
};

struct install_file {
	char *path;
	char *made; /* the first directory on the way that was missing, NULL: none was */
	enum install_part part;
	char *before, *after; /* NULL: no such file */
	size_t before_len, after_len;
};

struct install_files {
	size_t n;
	struct install_file list[INSTALL_FILES_MAX];
};

void install_files_clear(struct install_files *files);
#define _cleanup_install_files_ __attribute__((cleanup(install_files_clear)))

/* The file of that path, or NULL. */
struct install_file *install_files_find(struct install_files *files, const char *path);

/* Are the two texts, or their absences, the same? */
bool install_same(const char *a, size_t a_len, const char *b, size_t b_len);

struct install {
	int root; /* the directory that is "/" */
	bool user, set_default;
	const char *programs;     /* the directory of oci-egress and oci-egress-runtime */
	const char *policy;       /* docker: NULL, or the one that a runtime of its own is for */
	char config[PATH_MAX];    /* --user: where the user's configuration is */
	char journal[PATH_MAX];   /* the directory */
	char hooks_dir[PATH_MAX]; /* ours alone, where we add one */
	struct install_files files;
};

struct install_engine {
	const char *name;
	int (*plan)(struct install *install, struct error *err); /* adds each file that is concerned, changed or not */
	bool for_users;                                          /* --user is possible */
	const char *programs;     /* that must be there: "oci-egress" or "oci-egress-runtime" */
	const char *then;         /* for people: what to restart, and how to use it */
	const char *then_without; /* the same after uninstall */
};

extern const struct install_engine install_podman, install_docker, install_crio, install_containerd;

/* Is there no file, or nothing in it? */
bool install_is_blank(const struct install_file *file);

/* A file, or a link's target, as it is now (to be freed); NULL where there is none. */
int install_read(
	const struct install *install, const struct install_file *file, char **ret, size_t *ret_len, struct error *err);

/* Adds a file to the plan as it is, after being the same; *ret, unless NULL, is valid until the next is added. */
int install_add(struct install *install, const char *path, enum install_part part, struct install_file **ret,
	struct error *err);

/* Adds a file that is to be text. */
int install_add_text(
	struct install *install, const char *path, enum install_part part, const char *text, struct error *err);

/* Adds DIR/oci-egress.json and DIR/oci-egress-poststop.json, oci-hooks(5). */
int install_add_hooks(struct install *install, const char *dir, struct error *err);

/* What a text of ours starts with, where its format has comments. */
#define INSTALL_MARK "# By oci-egress install "

/* Is there what the plan would write, a hook that calls oci-egress from wherever it is, or a text with the mark? */
bool install_is_ours(const struct install_file *file);

/*
 * Takes our part out of file->before, and puts back what it stands in the place of in found, as install came upon the
 * file (NULL: not known). *ret (to be freed) is NULL where nothing of ours is in it. -EINVAL: it cannot be parsed.
 */
int install_strip(const struct install *install, const struct install_file *file, const char *found, size_t found_len,
	char **ret, size_t *ret_len, struct error *err);
int install_strip_docker(const struct install_file *file, const char *found, size_t found_len, char **ret,
	size_t *ret_len, struct error *err);
int install_strip_containerd(
	const char *path, const char *text, size_t len, char **ret, size_t *ret_len, struct error *err);

/* Is there a file that is to be another? */
bool install_changes(const struct install_files *files);

/* Prints them, as lines that go and lines that come. */
void install_show(const struct install_files *files);

/* Makes the directories that are missing, and notes in files which. */
int install_make_parents(const struct install *install, struct install_files *files, struct error *err);

/* Removes those again, as far as they are empty. */
void install_remove_parents(const struct install *install, const struct install_files *files);

/* Writes each file that is to be another; where one cannot be, all are as they were before. */
int install_apply(const struct install *install, const struct install_files *files, struct error *err);
