/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/watching.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGES (DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB | DN_MULTISHOT)

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

int watching_add(struct watching *watching, const char *file, int levels, struct error *err)
{
	char target[PATH_MAX];
	int r = add_parents(watching, file, levels, err);
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
