/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A worker gives up on a line that does not fit whole: the file is full although bytes are left. */
#define LINE_ROOM 4096

/* How many files one pruning may remove: a keeper has others waiting. The next one goes on. */
#define PRUNE_MAX 32

/* A look at a thousand files takes milliseconds: not at each of a thousand starts. */
#define PRUNE_ONE_IN 16

/* Opens and locks, which tells logfile_prune() that it is in use. 1: somebody pruned it in between. */
static int open_locked(const struct logfile *log, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd =
		openat(log->dir, log->name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "open log %s", log->name);
	struct stat st;
	if (flock(fd, LOCK_SH) < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "log %s", log->name);
	if (!S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "log %s: not a regular file", log->name);
	if (st.st_nlink == 0)
		return 1;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_file(const struct logfile *log, int *ret_fd, struct error *err)
{
	int r;
	do
		r = open_locked(log, ret_fd, err);
	while (r > 0);
	return r;
}

static bool is_full(const struct logfile *log)
{
	struct stat st;
	return fstat(log->fd, &st) == 0 && (uint64_t) st.st_size + LINE_ROOM > log->max_bytes && st.st_size > 0;
}

uint32_t logfile_size(const struct logfile *log)
{
	struct stat st;
	if (fstat(log->fd, &st) < 0 || st.st_size < 0)
		return 0;
	return st.st_size < UINT32_MAX ? (uint32_t) st.st_size : UINT32_MAX;
}

int logfile_rotate(struct logfile *log, struct error *err)
{
	if (!is_full(log))
		return 0;

	char older[sizeof(log->name) + sizeof(".1")];
	(void) snprintf(older, sizeof(older), "%s.1", log->name);
	if (renameat(log->dir, log->name, log->dir, older) < 0 && errno != ENOENT)
		return error_set(err, errno, "rotate log %s", log->name);
	int fd = -1;
	int r = open_file(log, &fd, err);
	if (r < 0)
		return r;
	close(log->fd);
	log->fd = fd;
	logfile_prune(log->dir, LOGFILE_TOTAL_MAX);
	return 1;
}

int logfile_open(struct logfile *log, int dir, const char *id, uint32_t max_bytes, struct error *err)
{
	*log = (struct logfile){ .dir = dir, .fd = -1, .max_bytes = max_bytes };
	(void) snprintf(log->name, sizeof(log->name), "%s.log", id);
	int r = open_file(log, &log->fd, err);
	if (r == 0)
		r = logfile_rotate(log, err);
	return r < 0 ? r : 0;
}

struct aged {
	int64_t mtime;
	uint64_t size;
	char name[CONTROL_ID_MAX + sizeof(".log.1")];
};

static bool is_log(const char *name)
{
	const char *dot = strstr(name, ".log");
	while (dot && dot[1] && strstr(dot + 1, ".log"))
		dot = strstr(dot + 1, ".log");
	return dot && (strcmp(dot, ".log") == 0 || strcmp(dot, ".log.1") == 0) &&
	       strlen(name) < sizeof(((struct aged *) NULL)->name);
}

/* The oldest of a directory, in their order. */
struct oldest {
	size_t n;
	struct aged v[PRUNE_MAX];
};

static void insert(struct oldest *oldest, const struct stat *st, int64_t mtime, const char *name)
{
	size_t at = oldest->n;
	while (at > 0 && oldest->v[at - 1].mtime > mtime)
		at--;
	if (at == PRUNE_MAX)
		return;
	size_t behind = (oldest->n < PRUNE_MAX ? oldest->n++ : PRUNE_MAX - 1) - at;
	memmove(&oldest->v[at + 1], &oldest->v[at], behind * sizeof(oldest->v[0]));
	oldest->v[at] = (struct aged){ .mtime = mtime, .size = (uint64_t) st->st_size };
	(void) snprintf(oldest->v[at].name, sizeof(oldest->v[at].name), "%s", name);
}

/* The sum of all logs, and the oldest that are newer than after. */
static uint64_t scan(int dir, int64_t after, struct oldest *ret)
{
	ret->n = 0;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries) {
		if (fd >= 0)
			close(fd);
		return 0;
	}

	uint64_t sum = 0;
	for (const struct dirent *entry; (entry = readdir(entries));) {
		struct stat st;
		if (!is_log(entry->d_name) || fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		int64_t mtime = (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		sum += (uint64_t) st.st_size;
		if (mtime > after)
			insert(ret, &st, mtime, entry->d_name);
	}
	return sum;
}

/* Returns whether it could. */
static bool remove_unused(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir, name, 0) == 0;
}

void logfile_prune(int dir, uint64_t max_bytes)
{
	struct oldest oldest;
	int64_t after = INT64_MIN;
	bool removed = false;
	do { /* those that are in use are no reason to leave newer ones */
		uint64_t sum = scan(dir, after, &oldest);
		for (size_t i = 0; i < oldest.n && sum > max_bytes; i++) {
			if (!remove_unused(dir, oldest.v[i].name))
				continue;
			sum -= oldest.v[i].size;
			removed = true;
		}
		if (sum <= max_bytes || oldest.n < PRUNE_MAX)
			return;
		after = oldest.v[oldest.n - 1].mtime;
	} while (!removed);
}

void logfile_prune_sometimes(int dir, uint64_t max_bytes)
{
	unsigned char byte;
	if (getrandom(&byte, 1, GRND_NONBLOCK) != 1 || byte % PRUNE_ONE_IN == 0)
		logfile_prune(dir, max_bytes);
}
