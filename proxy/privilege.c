/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/idmap.h"
#include "proxy/worker.h"

static int bound(uint64_t keep, struct error *err)
{
	for (int cap = 0; cap < 64; cap++) {
		if (keep & PRIVILEGE_BIT(cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		/* EPERM: without CAP_SETPCAP none can. EINVAL: the kernel's last capability was the one before. */
		return errno == EPERM || errno == EINVAL
			       ? 0
			       : error_set(err, errno, "drop capability %d from the bounding set", cap);
	}
	return 0;
}

int privilege_keep(uint64_t keep, struct error *err)
{
	int r = bound(keep, err);
	if (r < 0)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set(err, errno, "clear ambient capabilities");

	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (syscall(SYS_capget, &header, data) < 0)
		return error_set(err, errno, "capget");
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t) (keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_set(err, errno, "capset");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "no_new_privs");
	return 0;
}

uint32_t privilege_worker_uid(pid_t keeper)
{
	struct idmap uids, gids;
	uint32_t own = WORKER_UID_BASE + (uint32_t) keeper, unused, highest;
	if (idmap_read("/proc/self/uid_map", &uids, NULL) < 0 || idmap_read("/proc/self/gid_map", &gids, NULL) < 0)
		return own;
	if (idmap_outer(&uids, own, &unused) && idmap_outer(&gids, own, &unused))
		return own;
	return idmap_highest(&uids, &gids, &highest) ? highest : own;
}
