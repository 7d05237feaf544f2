/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/imageversion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "oci/imagefile.h"

#define FAILURE_NAME_SIZE (IMAGEVERSION_NAME_SIZE + sizeof(".error"))

static int open_below(int dir, const char *name, struct error *err)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s for policy images", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "directory %s of policy images", name) : fd;
}

int imageversion_open_directory(int run, const char *policy, struct error *err)
{
	_cleanup_close_ int images = open_below(run, "images", err);
	return images < 0 ? images : open_below(images, policy, err);
}

int imageversion_unsettled_ms(const struct stat *st)
{
	int64_t age_ms = clock_realtime_ms() - clock_ms(st->st_ctim);
	return age_ms < 0 || age_ms >= STAMP_SETTLED_MS ? 0 : (int) (STAMP_SETTLED_MS - age_ms);
}

void imageversion_name(const struct stat *st, enum image_on_failure on_failure, char ret[IMAGEVERSION_NAME_SIZE])
{
	char stamp[STAMP_SIZE];
	stamp_make(st, stamp);
	(void) snprintf(ret, IMAGEVERSION_NAME_SIZE, "%s-%.32s-%u%c", stamp, VERSION, IMAGE_VERSION,
		on_failure == IMAGE_ON_FAILURE_OPEN ? 'o' : 'c');
}

int imageversion_open(int dir, const char *version, const char *policy, int *ret_fd, struct error *err)
{
	char file[ERROR_MESSAGE_MAX];
	(void) snprintf(file, sizeof(file), "image of policy %s", policy);
	return imagefile_open(dir, version, file, ret_fd, err);
}

static void failure_name(const char *version, char ret[FAILURE_NAME_SIZE])
{
	(void) snprintf(ret, FAILURE_NAME_SIZE, "%s.error", version);
}

int imageversion_read_failure(int dir, const char *version, struct error *err)
{
	char name[FAILURE_NAME_SIZE];
	failure_name(version, name);
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;
	if (fd < 0 || io_read_all(fd, ERROR_MESSAGE_MAX, &text, &len, NULL) < 0 || len == 0)
		return 0;
	return error_say(err, EINVAL, "%s", text);
}

void imageversion_write_failure(int dir, const char *version, const struct error *err)
{
	char name[FAILURE_NAME_SIZE];
	failure_name(version, name);
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd >= 0 && io_write_all(fd, err->msg, strlen(err->msg), NULL) < 0)
		(void) unlinkat(dir, name, 0);
}
