/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define DEPTH_MAX 33 /* user namespaces are at most 32 deep */

static int same_namespace(int a, int b, bool *ret, struct error *err)
{
	struct stat x, y;
	if (fstat(a, &x) < 0 || fstat(b, &y) < 0)
		return error_set(err, errno, "stat of a user namespace");
	*ret = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
	return 0;
}

/* From the owner upwards. What is above us, ioctl_ns(2) says EPERM of: so it is above them as well. */
int authority_over(int netns, pid_t pid, enum authority *ret, struct error *err)
{
	char path[sizeof("/proc//ns/user") + 3 * sizeof(pid)];
	(void) snprintf(path, sizeof(path), "/proc/%d/ns/user", (int) pid);
	_cleanup_close_ int theirs = open(path, O_RDONLY | O_CLOEXEC);
	if (theirs < 0)
		return error_set(err, errno, "%s", path);

	_cleanup_close_ int at = ioctl(netns, NS_GET_USERNS);
	for (int depth = 0; at >= 0 && depth < DEPTH_MAX; depth++) {
		bool same = false;
		int r = same_namespace(at, theirs, &same, err);
		if (r < 0)
			return r;
		if (same) {
			*ret = depth == 0 ? AUTHORITY_CAPABILITIES : AUTHORITY_ALL;
			return 0;
		}
		int parent = ioctl(at, NS_GET_PARENT);
		int failure = errno;
		cleanup_close(&at);
		at = parent;
		errno = failure;
	}
	if (errno != EPERM)
		return error_set(err, errno, "owner of the network namespace");
	*ret = AUTHORITY_NONE;
	return 0;
}
