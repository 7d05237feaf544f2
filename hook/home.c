/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/rundir.h"
#include "proxy/user.h"

/* Searchable by all, so that the user gets to its home; what is in there is closed to others. */
static int open_parent(const char *state, int *ret_fd, struct error *err)
{
	_cleanup_close_ int top = -1;
	int r = rundir_open(state, &top, err);
	if (r < 0)
		return r;
	if (fchmod(top, 0711) < 0)
		return error_set(err, errno, "directory %s", state);
	if (mkdirat(top, "proxy", 0711) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s/proxy", state);
	_cleanup_close_ int parent = openat(top, "proxy", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (parent < 0 || fchmod(parent, 0711) < 0)
		return error_set(err, errno, "directory %s/proxy", state);
	*ret_fd = TAKE_FD(parent);
	return 0;
}

int home_open(const char *state, const struct image *image, int *ret_fd, struct error *err)
{
	const char *policy = image_string(image, image->name);
	struct user user;
	int r = user_find(image_string(image, image->external.user), &user, err);
	if (r < 0)
		return error_wrap(err, "proxy.user");

	_cleanup_close_ int parent = -1;
	r = open_parent(state, &parent, err);
	if (r < 0)
		return r;
	if (mkdirat(parent, policy, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s/proxy/%s", state, policy);
	_cleanup_close_ int fd = openat(parent, policy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, user.uid, user.gid) < 0)
		return error_set(err, errno, "directory %s/proxy/%s", state, policy);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
