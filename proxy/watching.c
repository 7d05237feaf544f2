/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/watching.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGES (DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB | DN_MULTISHOT)

/* Of symbolic links behind each other: more are a loop to the kernel too, path_resolution(7). */
#define LINKS_MAX 40

int watching_open(struct watching *watching, struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_set(err, errno, "sigprocmask");
	watching->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return watching->signals < 0 ? error_set(err, errno, "signalfd") : 0;
}

static void let_go(struct watched *watched)
{
	if (watched->fd >= 0)
		close(watched->fd);
	watched->fd = -1;
}

static int look_at(struct watched *watched)
{
	struct stat st;
	int fd = open(watched->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || fcntl(fd, F_NOTIFY, CHANGES) < 0) {
		int failure = -errno;
		if (fd >= 0)
			close(fd);
		return failure;
	}
	let_go(watched);
	watched->fd = fd;
	watched->dev = st.st_dev;
	watched->ino = st.st_ino;
	return 0;
}

static int add_directory(struct watching *watching, const char *path, size_t len, struct error *err)
{
	for (size_t i = 0; i < watching->n; i++)
		if (strlen(watching->v[i].path) == len && memcmp(watching->v[i].path, path, len) == 0)
			return 0;
	if (watching->n >= WATCHING_MAX)
		return error_say(err, ENOSPC, "more than %d directories to watch", WATCHING_MAX);
	struct watched watched = { .path = strndup(path, len), .fd = -1 };
	if (!watched.path)
		return error_set(err, ENOMEM, "watch %.*s", (int) len, path);
	int r = look_at(&watched);
	if (r < 0 && r != -ENOENT) {
		free(watched.path);
		return error_set(err, -r, "watch %.*s", (int) len, path);
	}
	watching->v[watching->n++] = watched;
	return 0;
}

/* The nearest n directories above it: that of the file, that which has its name, ... */
static int add_parents(struct watching *watching, const char *file, int n, struct error *err)
{
	size_t len = strlen(file);
	for (int i = 0; i < n; i++) {
		while (len > 0 && file[len - 1] != '/')
			len--;
		while (len > 1 && file[len - 1] == '/')
			len--;
		if (len == 0)
			return 0;
		int r = add_directory(watching, file, len, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Of the directories above a file, how long the name of the nearest one is that is there. */
static size_t find_nearest(const char *file)
{
	char path[PATH_MAX];
	(void) snprintf(path, sizeof(path), "%s", file);
	for (char *slash; (slash = strrchr(path, '/')) && slash != path;) {
		struct stat st;
		*slash = '\0';
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return strlen(path);
	}
	return 1;
}

/* One in which nearer ones may have been made before it was watched. */
static int add_nearest(struct watching *watching, const char *file, struct error *err)
{
	for (size_t len = find_nearest(file), before = 0; len != before; len = find_nearest(file)) {
		int r = add_directory(watching, file, len, err);
		if (r < 0)
			return r;
		before = len;
	}
	return 0;
}

/* What a symbolic link says, as an absolute path. False: it is none. */
static bool follow(const char *link, char ret[PATH_MAX])
{
	char says[PATH_MAX];
	ssize_t len = readlink(link, says, sizeof(says) - 1);
	if (len <= 0)
		return false;
	says[len] = '\0';
	const char *slash = strrchr(link, '/');
	int directory = says[0] == '/' || !slash ? 0 : (int) (slash - link) + 1;
	return snprintf(ret, PATH_MAX, "%.*s%s", directory, link, says) < PATH_MAX;
}

/* Where it leads to, link by link: the last may lead to nothing yet. */
static int add_links(struct watching *watching, const char *file, struct error *err)
{
	char at[2][PATH_MAX];
	for (int i = 0; i < LINKS_MAX && follow(file, at[i % 2]); i++) {
		file = at[i % 2];
		int r = add_nearest(watching, file, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int watching_add(struct watching *watching, const char *file, int levels, struct error *err)
{
	char target[PATH_MAX];
	int r = add_parents(watching, file, levels, err);
	if (r == 0)
		r = add_links(watching, file, err);
	if (r == 0 && realpath(file, target))
		r = add_parents(watching, target, 1, err);
	return r;
}

static bool is_replaced(const struct watched *watched)
{
	struct stat st;
	return watched->fd < 0 || stat(watched->path, &st) < 0 || st.st_dev != watched->dev ||
	       st.st_ino != watched->ino;
}

void watching_take(struct watching *watching)
{
	struct signalfd_siginfo info;
	while (read(watching->signals, &info, sizeof(info)) > 0)
		;
	for (size_t i = 0; i < watching->n; i++)
		if (is_replaced(&watching->v[i]))
			(void) look_at(&watching->v[i]);
}
