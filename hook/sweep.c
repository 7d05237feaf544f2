/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/process.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "proxy/control.h"

void sweep_key(int run, const char *key)
{
	char name[RUNDIR_KEY_SIZE + 8];
	(void) snprintf(name, sizeof(name), "%s.sock", key);

	/* Looking first: there may be no descriptor left to connect with. */
	_cleanup_close_ int sock = -1;
	int r = faccessat(run, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : control_connect(run, key, &sock, NULL);
	if (r == -ECONNREFUSED || r == -ENOENT)
		rundir_remove_key(run, key);
}

/* Not where nobody has the number, nor where only a zombie has it: its parent may take its time, or never wait. */
static bool may_live(pid_t pid)
{
	_cleanup_close_ int pidfd = -1;
	int r = process_open(pid, &pidfd, NULL);
	return r < 0 ? r != -ESRCH : process_alive(pidfd);
}

/* A keeper's number that is taken by another process now hides a dead one from us; sweep_key() by the next hook there
 * does not. */
static bool keeper_may_live(int lock)
{
	struct rundir_link link;
	if (rundir_read_link(lock, &link, NULL) < 0)
		return false;
	return may_live(link.keeper);
}

static void sweep_lock(int run, const char *name)
{
	_cleanup_close_ int lock = openat(run, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0 || keeper_may_live(lock))
		return;
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return; /* a hook is at work there */

	struct stat ours, named;
	if (fstat(lock, &ours) < 0 || fstatat(run, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
		ours.st_ino != named.st_ino)
		return;
	char key[RUNDIR_KEY_SIZE];
	memcpy(key, name, RUNDIR_KEY_SIZE - 1);
	key[RUNDIR_KEY_SIZE - 1] = '\0';
	sweep_key(run, key);
}

static bool has_suffix(const char *name, size_t stem, const char *suffix)
{
	return strlen(name) == stem + strlen(suffix) && strcmp(name + stem, suffix) == 0;
}

static bool is_draft(const char *name)
{
	return name[0] == '.' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* What a killed hook was about to rename or to remove. */
static void sweep_draft(int run, const char *name)
{
	if (unlinkat(run, name, 0) < 0 && errno == EISDIR)
		(void) unlinkat(run, name, AT_REMOVEDIR);
}

/* A number that nobody has settles it; else, where there is a keeper, a record is its to remove when that init ends. */
static int sweep_record(const struct record *record, void *arg)
{
	int run = *(int *) arg;
	char lock[RUNDIR_KEY_SIZE + 8];
	(void) snprintf(lock, sizeof(lock), "%s.lock", record->key);

	bool dead = !may_live(record->pid);
	bool kept = record->state == RECORD_GUARDED && faccessat(run, lock, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (dead || (!kept && !record_alive(record)))
		record_remove(run, record->id);
	return 0;
}

void sweep_run(int run)
{
	int copy = openat(run, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return;
	_cleanup_close_ int drafts = -1;
	bool may_sweep_drafts = rundir_lock_drafts(run, false, &drafts, NULL) == 0;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (has_suffix(e->d_name, RUNDIR_KEY_SIZE - 1, ".lock"))
			sweep_lock(run, e->d_name);
		else if (may_sweep_drafts && is_draft(e->d_name))
			sweep_draft(run, e->d_name);
	}
	(void) record_each(run, sweep_record, &run, NULL);
}
