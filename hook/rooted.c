/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define LINKS_MAX 16
#define XATTRS_MAX 4096
#define TEMPORARY ".oci-egress-new"

/* Where a file is: the directory that it lies in, once no link is left, and its name there. */
struct spot {
	int dir;
	char name[NAME_MAX + 1];
};

static void cleanup_spot(const struct spot *spot)
{
	cleanup_close(&spot->dir);
}
#define _cleanup_spot_ __attribute__((cleanup(cleanup_spot)))

int rooted_open(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned) flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	return (int) syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Splits path; -errno. */
static int find_directly(int root, const char *path, struct spot *ret)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EISDIR;
	if (strlen(name) > NAME_MAX || strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	(void) snprintf(parent, sizeof(parent), "%.*s/", slash ? (int) (slash - path) : 0, path);
	int dir = rooted_open(root, parent, O_PATH | O_DIRECTORY);
	if (dir < 0)
		return -errno;
	(void) snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->dir = dir;
	return 0;
}

/* The same, and follows the links that lie there. */
static int find(int root, const char *path, struct spot *ret)
{
	char at[PATH_MAX], target[PATH_MAX], next[2 * PATH_MAX];
	if ((size_t) snprintf(at, sizeof(at), "%s", path) >= sizeof(at))
		return -ENAMETOOLONG;
	for (int links = 0; links < LINKS_MAX; links++) {
		_cleanup_spot_ struct spot spot = { .dir = -1 };
		int r = find_directly(root, at, &spot);
		if (r < 0)
			return r;
		ssize_t n = readlinkat(spot.dir, spot.name, target, sizeof(target) - 1);
		if (n < 0) {
			*ret = spot;
			spot.dir = -1;
			return 0;
		}
		target[n] = '\0';
		int above = target[0] == '/' ? 0 : (int) (strrchr(at, '/') - at) + 1;
		(void) snprintf(next, sizeof(next), "%.*s%s", above, at, target);
		if ((size_t) snprintf(at, sizeof(at), "%s", next) >= sizeof(at))
			return -ENAMETOOLONG;
	}
	return -ELOOP;
}

static int open_regular(const struct spot *spot, int *ret)
{
	/* O_NONBLOCK: a FIFO must not make us wait for its writer. */
	_cleanup_close_ int fd =
		openat(spot->dir, spot->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	*ret = TAKE_FD(fd);
	return 0;
}

int rooted_read(int root, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_spot_ struct spot spot = { .dir = -1 };
	_cleanup_close_ int fd = -1;
	int r = find(root, path, &spot);
	if (r == 0)
		r = open_regular(&spot, &fd);
	if (r == -ENOENT) {
		*ret_text = NULL;
		*ret_len = 0;
		return 0;
	}
	if (r == 0) {
		r = io_read_all(fd, max, ret_text, ret_len, err);
		return r < 0 ? error_wrap(err, "%s", path) : 0;
	}
	return error_set(err, -r, "%s", path);
}

/* ACLs and security labels. What cannot be copied is what the directory gives, as for any new file. */
static void copy_xattrs(int from, int to)
{
	char names[XATTRS_MAX], value[XATTRS_MAX];
	ssize_t size = flistxattr(from, names, sizeof(names));
	for (ssize_t i = 0; i < size; i += (ssize_t) strlen(names + i) + 1) {
		ssize_t len = fgetxattr(from, names + i, value, sizeof(value));
		if (len >= 0)
			(void) fsetxattr(to, names + i, value, (size_t) len, 0);
	}
}

static int dress(const struct spot *spot, int fd, mode_t mode)
{
	_cleanup_close_ int old = -1;
	struct stat st;
	int r = open_regular(spot, &old);
	if (r == -ENOENT)
		return fchmod(fd, mode) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	if (fstat(old, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return -errno;
	copy_xattrs(old, fd);
	return 0;
}

/* The name of the file that will take another's place. */
static int name_new(const struct spot *spot, char ret[NAME_MAX + 1])
{
	int n = snprintf(ret, NAME_MAX + 1, ".%s%s", spot->name, TEMPORARY);
	if (n < 0 || n > NAME_MAX)
		return -ENAMETOOLONG;
	/* Left by one that was killed: whoever writes here holds the journal's lock. */
	return unlinkat(spot->dir, ret, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int put_in_place(const struct spot *spot, const char *name)
{
	if (renameat(spot->dir, name, spot->dir, spot->name) == 0)
		return 0;
	int r = -errno;
	(void) unlinkat(spot->dir, name, 0);
	return r;
}

static int write_new(const struct spot *spot, const char *name, const char *text, size_t len, mode_t mode)
{
	_cleanup_close_ int fd = openat(spot->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = io_write_all(fd, text, len, NULL);
	if (r == 0)
		r = dress(spot, fd, mode);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		(void) unlinkat(spot->dir, name, 0);
	return r;
}

int rooted_write(int root, const char *path, const char *text, size_t len, mode_t mode, struct error *err)
{
	_cleanup_spot_ struct spot spot = { .dir = -1 };
	char name[NAME_MAX + 1];
	int r = find(root, path, &spot);
	if (r == 0)
		r = name_new(&spot, name);
	if (r == 0)
		r = write_new(&spot, name, text, len, mode);
	if (r == 0)
		r = put_in_place(&spot, name);
	return r < 0 ? error_set(err, -r, "write %s", path) : 0;
}

int rooted_remove(int root, const char *path, bool follow, struct error *err)
{
	_cleanup_spot_ struct spot spot = { .dir = -1 };
	int r = follow ? find(root, path, &spot) : find_directly(root, path, &spot);
	if (r == 0 && unlinkat(spot.dir, spot.name, 0) < 0)
		r = -errno;
	return r < 0 && r != -ENOENT ? error_set(err, -r, "remove %s", path) : 0;
}

int rooted_read_link(int root, const char *path, char **ret_target, struct error *err)
{
	_cleanup_spot_ struct spot spot = { .dir = -1 };
	char target[PATH_MAX];
	ssize_t n = -1;
	int r = find_directly(root, path, &spot);
	if (r == 0) {
		n = readlinkat(spot.dir, spot.name, target, sizeof(target) - 1);
		r = n < 0 ? -errno : 0;
	}
	if (r == -ENOENT) {
		*ret_target = NULL;
		return 0;
	}
	if (r < 0)
		return r == -EINVAL ? error_say(err, EEXIST, "%s: not a symbolic link", path)
				    : error_set(err, -r, "%s", path);
	*ret_target = strndup(target, (size_t) n);
	return *ret_target ? 0 : error_set(err, ENOMEM, "%s", path);
}

int rooted_link(int root, const char *path, const char *target, struct error *err)
{
	_cleanup_spot_ struct spot spot = { .dir = -1 };
	char name[NAME_MAX + 1];
	int r = find_directly(root, path, &spot);
	if (r == 0)
		r = name_new(&spot, name);
	if (r == 0 && symlinkat(target, spot.dir, name) < 0)
		r = -errno;
	if (r == 0)
		r = put_in_place(&spot, name);
	return r < 0 ? error_set(err, -r, "link %s", path) : 0;
}

bool rooted_is_ours(int root, const char *path)
{
	_cleanup_close_ int fd = rooted_open(root, path, O_PATH | O_DIRECTORY);
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid();
}

bool rooted_is_program(int root, const char *path)
{
	_cleanup_close_ int fd = rooted_open(root, path, O_PATH);
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

int rooted_make_parents(int root, const char *path, mode_t mode, char **ret_made, struct error *err)
{
	_cleanup_free_ char *made = NULL;
	char dir[PATH_MAX];
	if (strlen(path) >= sizeof(dir))
		return error_set(err, ENAMETOOLONG, "%s", path);
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void) snprintf(dir, sizeof(dir), "%.*s", (int) (slash - path), path);
		_cleanup_close_ int fd = rooted_open(root, dir, O_PATH | O_DIRECTORY);
		if (fd >= 0)
			continue;
		_cleanup_spot_ struct spot spot = { .dir = -1 };
		int r = errno == ENOENT ? find_directly(root, dir, &spot) : -errno;
		if (r == 0 && mkdirat(spot.dir, spot.name, mode) < 0)
			r = -errno;
		if (r < 0)
			return error_set(err, -r, "make directory %s", dir);
		if (!made && !(made = strdup(dir)))
			return error_set(err, ENOMEM, "%s", dir);
	}
	*ret_made = TAKE_PTR(made);
	return 0;
}

void rooted_remove_parents(int root, const char *path, const char *made)
{
	char dir[PATH_MAX];
	(void) snprintf(dir, sizeof(dir), "%s", path);
	for (char *slash = strrchr(dir, '/'); slash && slash > dir; slash = strrchr(dir, '/')) {
		*slash = '\0';
		_cleanup_spot_ struct spot spot = { .dir = -1 };
		if (strlen(dir) < strlen(made) || find_directly(root, dir, &spot) < 0 ||
			unlinkat(spot.dir, spot.name, AT_REMOVEDIR) < 0)
			return;
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);
	return n > m && strcmp(name + n - m, suffix) == 0;
}

void rooted_free_list(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

int rooted_list(int root, const char *path, const char *suffix, char ***ret, struct error *err)
{
	*ret = NULL;
	int fd = rooted_open(root, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", path);
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	char **names = NULL;
	int n = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || !ends_with(entry->d_name, suffix))
			continue;
		char *name = strdup(entry->d_name);
		char **more = name ? reallocarray(names, (size_t) n + 1, sizeof(*names)) : NULL;
		if (!more) {
			free(name);
			rooted_free_list(names, n);
			return error_set(err, ENOMEM, "%s", path);
		}
		names = more;
		names[n++] = name;
	}
	if (n > 0)
		qsort(names, (size_t) n, sizeof(*names), compare_names);
	*ret = names;
	return n;
}
