/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/rundir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Not ours alone, as what lies below is: whatever the umask, others find their way through. */
static int make_parent(const char *path, struct error *err)
{
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : error_set(err, errno, "make directory %s", path);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return error_set(err, errno, "make directory %s", path);
	return 0;
}

static int make_parents(const char *path, struct error *err)
{
	char part[PATH_MAX];
	if ((size_t) snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return error_set(err, ENAMETOOLONG, "%s", path);

	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		int r = make_parent(part, err);
		if (r < 0)
			return r;
		*p = '/';
	}
	return 0;
}

int rundir_open(const char *path, int *ret_fd, struct error *err)
{
	if (path[0] != '/')
		return error_say(err, EINVAL, "directory %s: not an absolute path", path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		if (errno != ENOENT)
			return error_set(err, errno, "make directory %s", path);
		int r = make_parents(path, err);
		if (r < 0)
			return r;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return error_set(err, errno, "make directory %s", path);
	}

	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "directory %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "directory %s", path);
	if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return error_say(err, EPERM,
			"directory %s: owned by uid %u with mode %04o, expected uid %u and writable by nobody else",
			path, (unsigned) st.st_uid, (unsigned) st.st_mode & 07777, (unsigned) geteuid());
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void rundir_key(uint64_t cookie, char ret[RUNDIR_KEY_SIZE])
{
	(void) snprintf(ret, RUNDIR_KEY_SIZE, "%016" PRIx64, cookie);
}

int rundir_lock_drafts(int dir, bool wait, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "run directory");
	while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "lock the run directory");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void lock_name(const char *key, char *buf, size_t size)
{
	(void) snprintf(buf, size, "%s.lock", key);
}

int rundir_lock(int dir, const char *key, int *ret_fd, struct error *err)
{
	char name[RUNDIR_KEY_SIZE + 8];
	lock_name(key, name, sizeof(name));

	for (;;) {
		_cleanup_close_ int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return error_set(err, errno, "open lock %s", name);
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return error_set(err, errno, "lock %s", name);

		struct stat ours, named;
		if (fstat(fd, &ours) < 0)
			return error_set(err, errno, "lock %s", name);
		if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == named.st_ino &&
			ours.st_dev == named.st_dev) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
		/* A keeper ended and took the file's name away while we waited: once more, with the next one. */
	}
}

int rundir_write_link(int lock, const struct rundir_link *link, struct error *err)
{
	char text[128], proxy[INET_ADDRSTRLEN], container[INET_ADDRSTRLEN];
	(void) inet_ntop(AF_INET, &link->proxy, proxy, sizeof(proxy));
	(void) inet_ntop(AF_INET, &link->container, container, sizeof(container));
	int n = snprintf(text, sizeof(text), "%s %s %s %u %d\n", link->kind == LINK_VETH ? "veth" : "socket", container,
		proxy, (unsigned) link->port, (int) link->keeper);
	if (ftruncate(lock, 0) < 0 || pwrite(lock, text, (size_t) n, 0) != n)
		return error_set(err, errno, "write the link down");
	return 0;
}

int rundir_read_link(int lock, struct rundir_link *ret, struct error *err)
{
	char text[128], kind[8], proxy[INET_ADDRSTRLEN], container[INET_ADDRSTRLEN];
	ssize_t n = pread(lock, text, sizeof(text) - 1, 0);
	if (n < 0)
		return error_set(err, errno, "read the link");
	text[n] = '\0';

	struct rundir_link link = { 0 };
	if (sscanf(text, "%7s %15s %15s %" SCNu16 " %d", kind, container, proxy, &link.port, &link.keeper) != 5 ||
		inet_pton(AF_INET, container, &link.container) != 1 || inet_pton(AF_INET, proxy, &link.proxy) != 1)
		return error_say(err, ENOENT, "no link is written down");
	link.kind = strcmp(kind, "veth") == 0 ? LINK_VETH : LINK_SOCKET;
	*ret = link;
	return 0;
}

void rundir_remove_socket(int dir, const char *key)
{
	char name[RUNDIR_KEY_SIZE + 8];
	(void) snprintf(name, sizeof(name), "%s.sock", key);
	(void) unlinkat(dir, name, 0);
}

void rundir_remove_key(int dir, const char *key)
{
	char name[RUNDIR_KEY_SIZE + 8];
	rundir_remove_socket(dir, key);
	lock_name(key, name, sizeof(name));
	(void) unlinkat(dir, name, 0);
}
