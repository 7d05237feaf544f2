/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/imagefile.h"
#include "oci/policy.h"
#include "base/stamp.h"

#define TRIES_MAX 5
#define VERSION_SIZE (STAMP_SIZE + 16)

static int open_below(int dir, const char *name, struct error *err)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s for policy images", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "directory %s of policy images", name) : fd;
}

static int open_directory(int run, const char *policy, struct error *err)
{
	_cleanup_close_ int images = open_below(run, "images", err);
	return images < 0 ? images : open_below(images, policy, err);
}

static int64_t realtime_ms(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * The version's name, when it has settled: a file that was written in this very tick of the clock could be written
 * again in it, and the stamp would be the same. The image's own layout, and what it depends on beside the file, belong
 * to the name.
 */
static int find_version(const struct images_source *source, char ret[VERSION_SIZE], struct error *err)
{
	struct stat st;
	for (;;) {
		if (fstat(source->fd, &st) < 0)
			return error_set(err, errno, "%s", source->file);
		int64_t age = realtime_ms() - ((int64_t) st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000);
		if (age < 0 || age >= STAMP_SETTLED_MS)
			break;
		const struct timespec left = { .tv_nsec = (STAMP_SETTLED_MS - age) * 1000000 };
		(void) nanosleep(&left, NULL);
	}
	char stamp[STAMP_SIZE];
	stamp_make(&st, stamp);
	(void) snprintf(ret, VERSION_SIZE, "%s-%u%c", stamp, IMAGE_VERSION,
		source->on_failure == IMAGE_ON_FAILURE_OPEN ? 'o' : 'c');
	return 0;
}

static int open_version(
	int dir, const struct images_source *source, const char *version, int *ret_fd, struct error *err)
{
	char file[PATH_MAX];
	(void) snprintf(file, sizeof(file), "image of policy %s", source->name);
	return imagefile_open(dir, version, file, ret_fd, err);
}

static void failure_name(const char *version, char ret[VERSION_SIZE + 8])
{
	(void) snprintf(ret, VERSION_SIZE + 8, "%s.error", version);
}

/* What was wrong with this version when it was compiled: it still is. */
static int read_failure(int dir, const char *version, struct error *err)
{
	char name[VERSION_SIZE + 8];
	failure_name(version, name);
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;
	if (fd < 0 || io_read_all(fd, ERROR_MESSAGE_MAX, &text, &len, NULL) < 0 || len == 0)
		return 0;
	return error_say(err, EINVAL, "%s", text);
}

static void write_failure(int dir, const char *version, const struct error *err)
{
	char name[VERSION_SIZE + 8];
	failure_name(version, name);
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd >= 0 && io_write_all(fd, err->msg, strlen(err->msg), NULL) < 0)
		(void) unlinkat(dir, name, 0);
}

static int compile(const struct images_source *source, struct image **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	if (lseek(source->fd, 0, SEEK_SET) < 0)
		return error_set(err, errno, "%s", source->file);
	int r = policy_read_open(source->fd, source->file, &text, &len, err);
	return r < 0 ? r : policy_compile(source->file, source->name, text, len, source->on_failure, ret, err);
}

/* All but one; NULL: all. */
static void remove_versions(int dir, const char *but)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	if (!entries)
		return;
	for (const struct dirent *e; (e = readdir(entries));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			(!but || strcmp(e->d_name, but) != 0))
			(void) unlinkat(dir, e->d_name, 0);
}

static int make_version(int dir, const struct images_source *source, const char *version, struct error *err)
{
	_cleanup_free_ struct image *image = NULL;
	struct error why = { .code = 0 };
	int compiled = compile(source, &image, &why);

	char now[VERSION_SIZE];
	int r = find_version(source, now, err);
	if (r < 0)
		return r;
	if (strcmp(now, version) != 0)
		return error_say(err, EAGAIN, "%s: was written while it was read", source->file);
	if (compiled == -EINVAL)
		write_failure(dir, version, &why);
	if (compiled < 0)
		return error_say(err, -compiled, "%s", why.msg);
	r = imagefile_write(dir, version, image, err);
	if (r == 0)
		remove_versions(dir, version);
	return r;
}

static int lock(int dir, struct error *err)
{
	while (flock(dir, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "lock policy images");
	return 0;
}

/* Leaves the directory locked, perhaps: the caller closes it. */
static int take(int dir, const struct images_source *source, char version[VERSION_SIZE], int *ret_fd, struct error *err)
{
	int r = find_version(source, version, err);
	if (r == 0)
		r = open_version(dir, source, version, ret_fd, err);
	if (r != -ENOENT)
		return r;
	r = lock(dir, err);
	if (r < 0)
		return r;
	r = open_version(dir, source, version, ret_fd, err);
	if (r != -ENOENT)
		return r;
	r = read_failure(dir, version, err);
	if (r == 0)
		r = make_version(dir, source, version, err);
	return r < 0 ? r : open_version(dir, source, version, ret_fd, err);
}

int images_take(
	int run, const struct images_source *source, char ret_name[NAME_MAX + 1], int *ret_fd, struct error *err)
{
	_cleanup_close_ int dir = open_directory(run, source->name, err);
	if (dir < 0)
		return dir;
	char version[VERSION_SIZE];
	int r;
	for (int i = 0; i < TRIES_MAX; i++) {
		r = take(dir, source, version, ret_fd, err);
		if (r != -EAGAIN)
			break;
	}
	if (r == 0)
		(void) snprintf(ret_name, NAME_MAX + 1, "%s/%s", source->name, version);
	return r;
}

static void sweep_policy(int images, const char *name, const char *policies)
{
	char path[PATH_MAX];
	if (!policy_name_valid(name) ||
		(size_t) snprintf(path, sizeof(path), "%s/%s.json", policies, name) >= sizeof(path) ||
		access(path, F_OK) == 0 || errno != ENOENT)
		return;
	_cleanup_close_ int dir = openat(images, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0)
		return;
	remove_versions(dir, NULL);
	(void) unlinkat(images, name, AT_REMOVEDIR);
}

void images_sweep(int run, const char *policies)
{
	int fd = openat(run, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries)
		return;
	for (const struct dirent *e; (e = readdir(entries));)
		sweep_policy(fd, e->d_name, policies);
}
