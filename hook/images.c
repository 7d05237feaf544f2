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
#include "oci/imageversion.h"
#include "oci/policy.h"

#define TRIES_MAX 5
/* Of STAMP_SETTLED_MS each. */
#define WAITS_MAX 50

/* The name of the version that has settled: somebody may be writing it all the time. */
static int find_version(const struct images_source *source, char ret[IMAGEVERSION_NAME_SIZE], struct error *err)
{
	for (int i = 0; i < WAITS_MAX; i++) {
		struct stat st;
		if (fstat(source->fd, &st) < 0)
			return error_set(err, errno, "%s", source->file);
		int left_ms = imageversion_unsettled_ms(&st);
		if (left_ms == 0) {
			imageversion_name(&st, source->on_failure, ret);
			return 0;
		}
		const struct timespec left = { .tv_nsec = left_ms * 1000000L };
		(void) nanosleep(&left, NULL);
	}
	return error_say(err, EBUSY, "%s: is being written", source->file);
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

	char now[IMAGEVERSION_NAME_SIZE];
	int r = find_version(source, now, err);
	if (r < 0)
		return r;
	if (strcmp(now, version) != 0)
		return error_say(err, EAGAIN, "%s: was written while it was read", source->file);
	if (compiled == -EINVAL)
		imageversion_write_failure(dir, version, &why);
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
static int take(int dir, const struct images_source *source, char version[IMAGEVERSION_NAME_SIZE], int *ret_fd,
	struct error *err)
{
	int r = find_version(source, version, err);
	if (r == 0)
		r = imageversion_open(dir, version, source->name, ret_fd, err);
	if (r != -ENOENT)
		return r;
	r = lock(dir, err);
	if (r < 0)
		return r;
	r = imageversion_open(dir, version, source->name, ret_fd, err);
	if (r != -ENOENT)
		return r;
	r = imageversion_read_failure(dir, version, err);
	if (r == 0)
		r = make_version(dir, source, version, err);
	return r < 0 ? r : imageversion_open(dir, version, source->name, ret_fd, err);
}

int images_take_in(
	int dir, const struct images_source *source, char ret_name[NAME_MAX + 1], int *ret_fd, struct error *err)
{
	char version[IMAGEVERSION_NAME_SIZE];
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

int images_take(
	int run, const struct images_source *source, char ret_name[NAME_MAX + 1], int *ret_fd, struct error *err)
{
	_cleanup_close_ int dir = imageversion_open_directory(run, source->name, err);
	return dir < 0 ? dir : images_take_in(dir, source, ret_name, ret_fd, err);
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
