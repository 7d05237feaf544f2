/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/document.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/owner.h"

/* Where the last '/' is, or NULL. Those at the end would make open(2) follow a symlink in spite of O_NOFOLLOW. */
static char *split(char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	return strrchr(path, '/');
}

static int join(const char *base, const char *path, char ret[PATH_MAX], struct error *err)
{
	bool alone = !base || path[0] == '/';
	int n = snprintf(ret, PATH_MAX, "%s%s%s", alone ? "" : base, alone ? "" : "/", path);
	return n < 0 || n >= PATH_MAX ? error_set(err, ENAMETOOLONG, "%.64s...", ret) : 0;
}

static int is_symlink(int dir, const char *name)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static int open_directory(struct document *document, struct error *err)
{
	char path[PATH_MAX];
	(void) snprintf(path, sizeof(path), "%s", document->path);
	char *slash = split(path);
	const char *name = slash ? slash + 1 : path;
	if (strlen(name) > NAME_MAX)
		return error_set(err, ENAMETOOLONG, "%s", document->path);
	(void) snprintf(document->name, sizeof(document->name), "%s", name);
	if (slash)
		slash[slash == path] = '\0'; /* the root keeps its own */

	const char *dir = slash ? path : ".";
	document->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (document->dir < 0 || fstat(document->dir, &document->dir_stat) < 0)
		return error_set(err, errno, "%s", dir);
	(void) split(path);
	if (slash && is_symlink(AT_FDCWD, path))
		(void) error_say(&document->strange, EPERM, "%s: a symbolic link, expected a directory", dir);
	return 0;
}

static int open_file(struct document *document, size_t max, struct error *err)
{
	const char *path = document->path;
	/* O_NONBLOCK: a FIFO must not make us wait for its writer. */
	_cleanup_close_ int fd = openat(document->dir, document->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &document->stat) < 0)
		return error_set(err, errno, "%s", path);
	if (!S_ISREG(document->stat.st_mode))
		return error_say(err, EINVAL, "%s: not a regular file", path);
	if (is_symlink(document->dir, document->name))
		(void) error_say(&document->strange, EPERM, "%s: a symbolic link, expected a regular file", path);
	else if (document->strange.code == 0)
		(void) owner_check(&document->stat, path, &document->strange);
	int r = io_read_all(fd, max, &document->text, &document->len, err);
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

int document_open(const char *base, const char *path, size_t max, struct document *ret, struct error *err)
{
	int r = join(base, path, ret->path, err);
	if (r == 0)
		r = open_directory(ret, err);
	return r < 0 ? r : open_file(ret, max, err);
}

void document_clear(struct document *document)
{
	cleanup_close(&document->dir);
	free(document->text);
	*document = DOCUMENT_EMPTY;
}

int document_trust(const struct document *document, uid_t also, struct error *err)
{
	if (document->strange.code < 0) {
		if (err)
			*err = document->strange;
		return document->strange.code;
	}
	struct stat st = document->dir_stat;
	if (st.st_uid == also)
		st.st_uid = 0;
	int r = owner_check(&st, "its directory", err);
	return r < 0 ? error_wrap(err, "%s", document->path) : 0;
}

static int write_draft(int fd, const struct document *document, const char *text, size_t len, struct error *err)
{
	int r = io_write_all(fd, text, len, err);
	if (r == 0 && fchown(fd, document->stat.st_uid, document->stat.st_gid) < 0)
		r = error_set(err, errno, "owner");
	if (r == 0 && fchmod(fd, document->stat.st_mode & 07777) < 0)
		r = error_set(err, errno, "mode");
	return r;
}

int document_replace(const struct document *document, const char *text, size_t len, struct error *err)
{
	/* The process of an exec may lie in a directory where others make files as well. */
	uint64_t random;
	char draft[64];
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_set(err, errno, "getrandom");
	(void) snprintf(draft, sizeof(draft), ".oci-egress-%016" PRIx64, random);
	_cleanup_close_ int fd =
		openat(document->dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "%s: make a new one beside it", document->path);

	int r = write_draft(fd, document, text, len, err);
	if (r == 0 && renameat(document->dir, draft, document->dir, document->name) < 0)
		r = error_set(err, errno, "rename");
	if (r < 0) {
		(void) unlinkat(document->dir, draft, 0);
		return error_wrap(err, "%s: replace", document->path);
	}
	return 0;
}
