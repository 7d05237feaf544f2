/* SPDX-License-Identifier: Apache-2.0 */
/* Where policies come from: names and files. What they say is compile.c's. */
#include "oci/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/cleanup.h"
#include "base/io.h"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool policy_name_valid(const char *name)
{
	size_t len = strnlen(name, POLICY_NAME_MAX + 1);
	if (len == 0 || len > POLICY_NAME_MAX || !is_alnum(name[0]) || strstr(name, ".."))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_alnum(name[i]) && !memchr("_.+-", name[i], 4))
			return false;
	return true;
}

/* Whoever could write it could let a container out. */
static int check_owner(const struct stat *st, const char *what, struct error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return error_say(err, EPERM, "%s: owned by user %u, expected root", what, st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return error_say(err, EPERM, "%s: mode %04o, expected one that only its owner can write (go-w)", what,
			st->st_mode & 07777);
	return 0;
}

static int open_directory(const char *dir, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", dir);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", dir);
	int r = check_owner(&st, dir, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* file: for messages, DIR/LEAF. */
static int open_inside(int dir, const char *leaf, const char *file, int *ret_fd, struct error *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, /* a FIFO without a writer must not hold us */
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	_cleanup_close_ int fd = (int) syscall(SYS_openat2, dir, leaf, &how, sizeof(how));
	if (fd < 0 && errno == ELOOP)
		return error_say(err, ELOOP, "%s: a symbolic link, expected a regular file", file);
	if (fd < 0)
		return error_set(err, errno, "%s", file);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", file);
	if (!S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "%s: expected a regular file", file);
	int r = check_owner(&st, file, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int read_text(int fd, const char *file, char **ret_text, size_t *ret_len, struct error *err)
{
	int r = io_read_all(fd, POLICY_SIZE_MAX, ret_text, ret_len, err);
	return r < 0 ? error_wrap(err, "%s", file) : 0;
}

int policy_read(const char *dir, const char *name, char **ret_text, size_t *ret_len, char *ret_file, struct error *err)
{
	char leaf[POLICY_NAME_MAX + sizeof(".json")];
	if (!policy_name_valid(name))
		return error_say(err, EINVAL,
			"policy name: expected 1 to %d of A-Z a-z 0-9 _ . + -, the first a letter or digit, and no "
			"\"..\"",
			POLICY_NAME_MAX);
	(void) snprintf(leaf, sizeof(leaf), "%s.json", name);
	char file[PATH_MAX];
	if (snprintf(file, sizeof(file), "%s/%s", dir, leaf) >= (int) sizeof(file))
		return error_set(err, ENAMETOOLONG, "%s", dir);

	_cleanup_close_ int dir_fd = -1;
	int r = open_directory(dir, &dir_fd, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = -1;
	r = open_inside(dir_fd, leaf, file, &fd, err);
	if (r < 0)
		return r;
	r = read_text(fd, file, ret_text, ret_len, err);
	if (r < 0)
		return r;
	memcpy(ret_file, file, strlen(file) + 1);
	return 0;
}

int policy_read_file(const char *file, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set(err, errno, "%s", file);
	return read_text(fd, file, ret_text, ret_len, err);
}
