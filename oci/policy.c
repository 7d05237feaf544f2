/* SPDX-License-Identifier: Apache-2.0 */
/* Where policies come from: names and files. What they say is compile.c's. */
#include "oci/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/owner.h"

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

static int open_directory(const char *dir, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", dir);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", dir);
	int r = owner_check(&st, dir, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int policy_read_open(int fd, const char *file, char **ret_text, size_t *ret_len, struct error *err)
{
	int r = io_read_all(fd, POLICY_SIZE_MAX, ret_text, ret_len, err);
	return r < 0 ? error_wrap(err, "%s", file) : 0;
}

int policy_open(const char *dir, const char *name, int *ret_fd, char *ret_file, struct error *err)
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
	r = owner_open(dir_fd, leaf, file, ret_fd, err);
	if (r < 0)
		return r;
	memcpy(ret_file, file, strlen(file) + 1);
	return 0;
}

int policy_read(const char *dir, const char *name, char **ret_text, size_t *ret_len, char *ret_file, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char file[PATH_MAX];
	int r = policy_open(dir, name, &fd, file, err);
	if (r == 0)
		r = policy_read_open(fd, file, ret_text, ret_len, err);
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
	return policy_read_open(fd, file, ret_text, ret_len, err);
}
