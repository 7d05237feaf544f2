/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress install ENGINE` and `oci-egress uninstall ENGINE`: see hook/install.h. */
#include "hook/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/command.h"
#include "hook/journal.h"
#include "hook/rooted.h"

static const struct install_engine *const engines[] = { &install_podman, &install_docker, &install_crio,
	&install_containerd };

static bool user, dry_run, set_default;
static const char *policy, *root, *programs;

static const struct option_row install_options[] = {
	{ "user", NULL, "podman: for the user who runs this, not for root", NULL, &user },
	{ "dry-run", NULL, "show what would be changed, and change nothing", NULL, &dry_run },
	{ "policy", "NAME", "docker: also a runtime oci-egress-NAME, whose containers all have that policy", &policy,
		NULL },
	{ "default", NULL, "docker: the runtime of all containers that name none", NULL, &set_default },
	{ "programs", "DIR", "where oci-egress and oci-egress-runtime are (" PROGRAM_DIR ")", &programs, NULL },
	{ "root", "DIR", "take DIR for /, when building an image or from a container (/)", &root, NULL },
	{ 0 },
};

static const struct option_row uninstall_options[] = {
	{ "user", NULL, "podman: what was installed with --user", NULL, &user },
	{ "dry-run", NULL, "show what would be changed, and change nothing", NULL, &dry_run },
	{ "programs", "DIR", "where oci-egress and oci-egress-runtime are (" PROGRAM_DIR ")", &programs, NULL },
	{ "root", "DIR", "take DIR for /", &root, NULL },
	{ 0 },
};

static int find_engine(const char *name, const struct install_engine **ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (strcmp(engines[i]->name, name) == 0) {
			*ret = engines[i];
			return 0;
		}
	}
	return error_say(err, EINVAL, "%s: expected podman, docker, crio or containerd", name);
}

/* In every format that it is written to, without an escape. */
static bool is_plain(const char *path)
{
	for (; *path; path++)
		if (*path <= ' ' || *path > '~')
			return false;
	return true;
}

static int check_options(const struct install_engine *engine, struct error *err)
{
	if (user && !engine->for_users)
		return error_say(err, EINVAL, "--user: only podman has a configuration for a user");
	if ((policy || set_default) && engine != &install_docker)
		return error_say(err, EINVAL, "--policy and --default are for docker");
	if (programs && (programs[0] != '/' || !is_plain(programs)))
		return error_say(err, EINVAL, "--programs %s: expected an absolute path in ASCII", programs);
	return 0;
}

/* Where a user's things are: not somebody else's, as sudo(8) would have it, whose links would lead us anywhere. */
static int find_home(struct install *install, struct error *err)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	if (!home || home[0] != '/' || strlen(home) > 3800 || strchr(home, '\n'))
		return error_say(err, EINVAL, "HOME: expected an absolute path");
	if (!rooted_is_ours(install->root, home))
		return error_say(
			err, EPERM, "%s: the home of somebody else: run this as that user, without sudo", home);
	bool elsewhere = config && config[0] == '/';
	if (elsewhere && (strlen(config) > 3800 || strchr(config, '\n') || !rooted_is_ours(install->root, config)))
		return error_say(err, EPERM, "XDG_CONFIG_HOME, %s: not a directory of yours", config);
	(void) snprintf(install->config, PATH_MAX, "%s%s", elsewhere ? config : home, elsewhere ? "" : "/.config");
	(void) snprintf(install->journal, PATH_MAX, "%s/.local/state/oci-egress/install", home);
	(void) snprintf(install->hooks_dir, PATH_MAX, "%.4000s/containers/oci/hooks.d", install->config);
	return 0;
}

static int start(struct install *install, struct error *err)
{
	*install = (struct install){ .user = user,
		.set_default = set_default,
		.policy = policy,
		.programs = programs ? programs : PROGRAM_DIR,
		.journal = "/var/lib/oci-egress/install",
		.hooks_dir = "/etc/oci-egress/hooks.d" };
	install->root = open(root ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (install->root < 0)
		return error_set(err, errno, "--root %s", root ? root : "/");
	return user ? find_home(install, err) : 0;
}

/* Engines skip a hook without a word whose program is not there. */
static int check_program(const struct install *install, const struct install_engine *engine, struct error *err)
{
	char path[PATH_MAX];
	if ((size_t) snprintf(path, sizeof(path), "%s/%s", install->programs, engine->programs) >= sizeof(path))
		return error_set(err, ENAMETOOLONG, "--programs");
	if (!rooted_is_program(install->root, path))
		return error_say(err, ENOENT,
			"%s: no program there: meson install puts it there, or --programs DIR says "
			"where it is",
			path);
	return 0;
}

static int copy_text(const char *text, size_t len, char **ret, size_t *ret_len, struct error *err)
{
	char *copy = text ? malloc(len + 1) : NULL;
	if (text && !copy)
		return error_set(err, ENOMEM, "install");
	if (text)
		memcpy(copy, text, len + 1);
	free(*ret);
	*ret = copy;
	*ret_len = len;
	return 0;
}

/* What uninstall is to restore of a file that an earlier install has changed already. */
static int find_original(const struct install *install, const struct install_file *now,
	const struct install_file *earlier, struct install_file *ret, struct error *err)
{
	char *stripped = NULL;
	size_t len = 0;
	bool whole = now->part == INSTALL_OWN || now->part == INSTALL_LINK;
	if (whole || install_same(now->before, now->before_len, earlier->after, earlier->after_len))
		return copy_text(earlier->before, earlier->before_len, &ret->before, &ret->before_len, err);
	if (now->before) {
		int r = install_strip(install, now, earlier->before, earlier->before_len, &stripped, &len, err);
		if (r < 0)
			return r;
	}
	if (!stripped)
		return copy_text(now->before, now->before_len, &ret->before, &ret->before_len, err);
	free(ret->before);
	ret->before = stripped;
	ret->before_len = len;
	return 0;
}

/* The journal with the plan in it: its files as install found them first, and as they will be. */
static int merge_journal(struct install *install, struct install_files *journal, struct error *err)
{
	for (size_t i = 0; i < install->files.n; i++) {
		const struct install_file *now = &install->files.list[i];
		struct install_file *entry = install_files_find(journal, now->path);
		int r = 0;
		if (!entry) {
			if (journal->n == INSTALL_FILES_MAX)
				return error_say(err, E2BIG, "more than %d files in the journal", INSTALL_FILES_MAX);
			entry = &journal->list[journal->n++];
			*entry = (struct install_file){ .path = strdup(now->path), .part = now->part };
			r = entry->path
				    ? copy_text(now->before, now->before_len, &entry->before, &entry->before_len, err)
				    : error_set(err, ENOMEM, "%s", now->path);
		} else {
			struct install_file earlier = *entry;
			r = find_original(install, now, &earlier, entry, err);
		}
		if (r == 0)
			r = copy_text(now->after, now->after_len, &entry->after, &entry->after_len, err);
		if (r == 0 && now->made && !entry->made && !(entry->made = strdup(now->made)))
			r = error_set(err, ENOMEM, "%s", now->path);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The plan was made before the lock was taken, and editors know of no lock. */
static int check_unchanged(const struct install *install, struct error *err)
{
	for (size_t i = 0; i < install->files.n; i++) {
		const struct install_file *file = &install->files.list[i];
		_cleanup_free_ char *now = NULL;
		size_t len;
		int r = install_read(install, file, &now, &len, err);
		if (r < 0)
			return r;
		if (!install_same(now, len, file->before, file->before_len))
			return error_say(err, EAGAIN, "%s: changed meanwhile: try again", file->path);
	}
	return 0;
}

/* Directories, then the journal, then the files: whatever stops us in between, uninstall can take it back. */
static int carry_out(struct install *install, const char *engine, struct error *err)
{
	_cleanup_install_files_ struct install_files journal = { 0 }, earlier = { 0 };
	_cleanup_close_ int lock = -1;
	bool there;
	int r = journal_lock(install, &lock, err);
	if (r == 0)
		r = check_unchanged(install, err);
	if (r == 0)
		r = journal_read(install, engine, &journal, &there, err);
	if (r == 0)
		r = journal_read(install, engine, &earlier, &there, err);
	if (r == 0)
		r = install_make_parents(install, &install->files, err);
	if (r == 0)
		r = merge_journal(install, &journal, err);
	if (r == 0)
		r = journal_write(install, engine, &journal, err);
	if (r == 0) {
		r = install_apply(install, &install->files, err);
		if (r < 0)
			(void) journal_write(install, engine, &earlier, NULL);
	}
	if (r < 0)
		install_remove_parents(install, &install->files);
	return r;
}

static int install_for(struct install *install, const struct install_engine *engine, struct error *err)
{
	int r = check_program(install, engine, err);
	if (r == 0)
		r = engine->plan(install, err);
	if (r < 0)
		return r;
	bool changes = install_changes(&install->files);
	r = dry_run ? 0 : carry_out(install, engine->name, err);
	if (r < 0)
		return r;
	install_show(&install->files);
	if (!changes)
		(void) printf("%s: nothing to change: it is installed\n", engine->name);
	else if (dry_run)
		(void) printf("%s: nothing was changed: --dry-run\n", engine->name);
	else
		(void) printf("%s\n", engine->then);
	return 0;
}

/* Notes for people, of what is not just as it was. */
static void note(const struct install_file *file, const char *text)
{
	(void) printf("%s: %s\n", file->path, text);
}

static int strip(const struct install *install, struct install_file *file, const char *found, size_t found_len,
	const char *why, struct error *err)
{
	char *text;
	size_t len;
	int r = install_strip(install, file, found, found_len, &text, &len, err);
	if (r < 0)
		return r;
	if (!text)
		return copy_text(file->before, file->before_len, &file->after, &file->after_len, err);
	note(file, why);
	free(file->after);
	file->after = text;
	file->after_len = len;
	return 0;
}

/* Turns a file of the journal, as install found and left it, into one of a plan that takes it back. */
static int take_back(const struct install *install, struct install_file *file, struct error *err)
{
	_cleanup_free_ char *found = file->before, *left = file->after;
	size_t found_len = file->before_len, left_len = file->after_len;
	file->before = file->after = NULL;
	file->before_len = file->after_len = 0;
	int r = install_read(install, file, &file->before, &file->before_len, err);
	if (r < 0)
		return r;
	bool untouched = install_same(found, found_len, left, left_len);
	bool as_left = install_same(file->before, file->before_len, left, left_len);
	bool as_found = install_same(file->before, file->before_len, found, found_len);
	if (untouched && file->before)
		note(file, "was there before install: left as it is");
	if (untouched || as_found || !file->before)
		return copy_text(file->before, file->before_len, &file->after, &file->after_len, err);
	if (!as_left && file->part != INSTALL_OWN && file->part != INSTALL_LINK)
		return strip(install, file, found, found_len,
			"edited by others since: only the part of oci-egress is taken out", err);
	if (!as_left)
		note(file, "edited by others since: taken back all the same");
	return copy_text(found, found_len, &file->after, &file->after_len, err);
}

/* Without a journal: a name of ours may be that of somebody else's file. */
static int take_away(struct install_file *file, struct error *err)
{
	if (!file->before || install_is_ours(file))
		return copy_text(NULL, 0, &file->after, &file->after_len, err);
	note(file, "not by oci-egress install: left as it is");
	return copy_text(file->before, file->before_len, &file->after, &file->after_len, err);
}

/* Without a journal: what install would write is taken out. */
static int take_out(struct install *install, const struct install_engine *engine, struct error *err)
{
	int r = engine->plan(install, err);
	for (size_t i = 0; i < install->files.n && r == 0; i++) {
		struct install_file *file = &install->files.list[i];
		if (file->part == INSTALL_OWN || file->part == INSTALL_LINK)
			r = take_away(file, err);
		else if (file->before)
			r = strip(
				install, file, NULL, 0, "without a journal: the part of oci-egress is taken out", err);
		else
			r = copy_text(NULL, 0, &file->after, &file->after_len, err);
	}
	return r;
}

static int plan_back(struct install *install, const struct install_engine *engine, struct error *err)
{
	bool there;
	int r = journal_read(install, engine->name, &install->files, &there, err);
	if (r == 0 && !there)
		return take_out(install, engine, err);
	for (size_t i = 0; i < install->files.n && r == 0; i++)
		r = take_back(install, &install->files.list[i], err);
	return r;
}

static int uninstall_from(struct install *install, const struct install_engine *engine, struct error *err)
{
	static const struct install_files none = { 0 };
	_cleanup_close_ int lock = -1;
	int r = dry_run ? 0 : journal_lock(install, &lock, err);
	if (r == 0)
		r = plan_back(install, engine, err);
	if (r == 0 && !dry_run)
		r = install_apply(install, &install->files, err);
	if (r == 0 && !dry_run)
		r = journal_write(install, engine->name, &none, err);
	if (r < 0)
		return r;
	install_show(&install->files);
	if (!install_changes(&install->files))
		(void) printf("%s: nothing to take back\n", engine->name);
	else if (dry_run)
		(void) printf("%s: nothing was changed: --dry-run\n", engine->name);
	else
		(void) printf("%s\n", engine->then_without);
	if (!dry_run)
		install_remove_parents(install, &install->files);
	return 0;
}

static int run(int argc, char **argv, const struct option_row *options,
	int (*act)(struct install *install, const struct install_engine *engine, struct error *err))
{
	static struct install install;
	const struct install_engine *engine = NULL;
	struct error err;
	const char *name = argv[0];
	(void) umask(022);
	int r = options_parse(&argc, argv, options, &err);
	if (r == 0 && argc != 2)
		r = error_say(&err, EINVAL, "expected an engine: podman, docker, crio or containerd");
	if (r == 0)
		r = find_engine(argv[1], &engine, &err);
	if (r == 0)
		r = check_options(engine, &err);
	if (r == 0)
		r = start(&install, &err);
	if (r == 0)
		r = act(&install, engine, &err);
	install_files_clear(&install.files);
	if (r < 0)
		(void) fprintf(stderr, "oci-egress %s: %s\n", name, err.msg);
	return r < 0 ? 2 : 0;
}

static int run_install(int argc, char **argv)
{
	return run(argc, argv, install_options, install_for);
}

static int run_uninstall(int argc, char **argv)
{
	return run(argc, argv, uninstall_options, uninstall_from);
}

const struct command command_install = {
	.name = "install",
	.operands = "podman|docker|crio|containerd",
	.text = "have an engine call oci-egress: edit its configuration, and say what changes",
	.run = run_install,
	.options = install_options,
};

const struct command command_uninstall = {
	.name = "uninstall",
	.operands = "podman|docker|crio|containerd",
	.text = "take back what install has done to an engine's configuration",
	.run = run_uninstall,
	.options = uninstall_options,
};
