/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/privilege.h"
#include "proxy/sanitizer.h"
#include "proxy/syscalls.h"
#include "proxy/worker.h"

static int enter_root(int root, struct error *err)
{
	if (fchdir(root) < 0)
		return error_set(err, errno, "enter the empty root");
	if (chroot(".") < 0)
		return error_set(err, errno, "chroot");
	if (chdir("/") < 0)
		return error_set(err, errno, "chdir");
	return 0;
}

static int become(uint32_t uid, struct error *err)
{
	/*
	 * Where a user namespace forbids setgroups(2), having none is as good: user_namespaces(7). A user who has no
	 * other id to give us keeps the groups too, as the rest of what that user may do.
	 */
	if (setgroups(0, NULL) < 0 && (errno != EPERM || (getgroups(0, NULL) != 0 && uid != geteuid())))
		return error_set(err, errno, "setgroups");
	if (setresgid(uid, uid, uid) < 0)
		return error_set(err, errno, "setresgid %u", uid);
	if (setresuid(uid, uid, uid) < 0)
		return error_set(err, errno, "setresuid %u", uid);
	return 0;
}

/* The uid names the keeper: WORKER_UID_BASE and its pid. One that has ended meanwhile left us another parent. */
static int tie_to_keeper(uint32_t uid, struct error *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(err, errno, "PDEATHSIG");
	if (uid >= WORKER_UID_BASE && getppid() != (pid_t) (uid - WORKER_UID_BASE))
		return error_say(err, ESRCH, "the keeper has ended");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "not dumpable");
	return 0;
}

static int limit(const struct sandbox *sandbox, struct error *err)
{
	const struct {
		__rlimit_resource_t resource;
		rlim_t value;
		const char *name;
	} limits[] = {
		{ RLIMIT_NOFILE, sandbox->descriptors, "NOFILE" },
		{ RLIMIT_FSIZE, sandbox->file_size, "FSIZE" },
		{ RLIMIT_CORE, 0, "CORE" },
		{ RLIMIT_NPROC, 0, "NPROC" },
		{ RLIMIT_MEMLOCK, 0, "MEMLOCK" },
#ifndef SANITIZED /* whose shadow memory counts */
		{ RLIMIT_DATA, SANDBOX_MEMORY_MAX, "DATA" },
#endif
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit rlimit;
		if (getrlimit(limits[i].resource, &rlimit) < 0)
			return error_set(err, errno, "RLIMIT_%s", limits[i].name);
		if (limits[i].value < rlimit.rlim_max)
			rlimit.rlim_max = limits[i].value;
		rlimit.rlim_cur = rlimit.rlim_max;
		if (setrlimit(limits[i].resource, &rlimit) < 0)
			return error_set(err, errno, "RLIMIT_%s", limits[i].name);
	}
	return 0;
}

int sandbox_enter(const struct sandbox *sandbox, struct error *err)
{
	int r = enter_root(sandbox->root, err);
	if (r == 0)
		r = become(sandbox->uid, err);
	if (r == 0)
		r = privilege_keep(0, err);
	if (r == 0)
		r = tie_to_keeper(sandbox->uid, err);
	if (r == 0)
		r = limit(sandbox, err);
	if (r == 0)
		r = syscalls_limit(err);
	return r < 0 ? error_wrap(err, "sandbox") : 0;
}
