/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/owner.h"

/* A process keeps its number through execve(2): in a runtime that runs the wrapper again this is still its own. */
#define MARK "OCI_EGRESS_RUNTIME"

static int check_mark(const char *path, struct error *err)
{
	const char *mark = getenv(MARK);
	char pid[16], parent[16];
	(void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
	(void) snprintf(parent, sizeof(parent), "%d", (int) getppid());
	if (mark && (strcmp(mark, pid) == 0 || strcmp(mark, parent) == 0))
		return error_say(
			err, ELOOP, "runtime %s: runs oci-egress-runtime again, expected runc, crun or the like", path);
	return 0;
}

int runtime_find_mark(struct error *err)
{
	char pid[16];
	(void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
	return setenv(MARK, pid, 1) < 0 ? error_set(err, errno, "environment") : 0;
}

static int check(const char *path, struct error *err)
{
	struct stat st, self;
	if (stat(path, &st) < 0)
		return error_set(err, errno, "runtime %s", path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return error_say(err, EACCES, "runtime %s: no program", path);
	if (stat("/proc/self/exe", &self) < 0)
		return error_set(err, errno, "/proc/self/exe");
	if (st.st_dev == self.st_dev && st.st_ino == self.st_ino)
		return error_say(
			err, ELOOP, "runtime %s: oci-egress-runtime itself, expected runc, crun or the like", path);
	int r = owner_check(&st, path, err);
	return r < 0 ? error_wrap(err, "runtime") : check_mark(path, err);
}

int runtime_find(const struct settings *settings, char ret[PATH_MAX], struct error *err)
{
	static const char *const names[] = { "runc", "crun" };
	static const char *const places[] = { "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin",
		"/sbin" };
	if (settings->runtime[0] != '\0') {
		memcpy(ret, settings->runtime, sizeof(settings->runtime));
		return check(ret, err);
	}
	for (size_t name = 0; name < ARRAY_SIZE(names); name++)
		for (size_t place = 0; place < ARRAY_SIZE(places); place++) {
			(void) snprintf(ret, PATH_MAX, "%s/%s", places[place], names[name]);
			if (access(ret, X_OK) == 0)
				return check(ret, err);
		}
	return error_say(err, ENOENT,
		"there is neither runc nor crun in /usr/bin and its like; \"runtime\" in /etc/oci-egress/config.json "
		"says where yours is");
}
