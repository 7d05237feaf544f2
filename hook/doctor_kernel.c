/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "hook/child.h"
#include "hook/doctor.h"
#include "netns/link.h"
#include "netns/netns.h"

#define TRY_TIMEOUT_MS 5000
#define KERNEL_MAJOR 5 /* SO_NETNS_COOKIE, socket(7) */
#define KERNEL_MINOR 14

/* The first line of a file below /proc/sys; "" where there is none. */
static const char *read_line(const char *path, char buf[64])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, 63);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

static void check_version(struct findings *findings)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2 || major < KERNEL_MAJOR ||
		(major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		findings_fault(findings, "kernel", "install a newer kernel", "Linux %s; %d.%d or later is needed",
			name.release, KERNEL_MAJOR, KERNEL_MINOR);
	else
		findings_ok(findings, "kernel", "Linux %s", name.release);
}

static int try_userns(void *arg, struct error *err)
{
	(void) arg;
	return unshare(CLONE_NEWUSER) < 0 ? error_set(err, errno, "unshare(CLONE_NEWUSER)") : 0;
}

static void check_userns(struct doctor *doctor)
{
	struct findings *findings = &doctor->findings;
	struct error err;
	char value[64];
	if (child_try(try_userns, NULL, TRY_TIMEOUT_MS, &err) == 0) {
		findings_ok(findings, "userns", "user namespaces can be made");
		return;
	}
	const char *mend = "allow it in the security profile that this process runs under (seccomp, AppArmor, SELinux)";
	if (strcmp(read_line("/proc/sys/user/max_user_namespaces", value), "0") == 0 || err.code == -ENOSPC)
		mend = "sysctl -w user.max_user_namespaces=15000";
	else if (strcmp(read_line("/proc/sys/kernel/unprivileged_userns_clone", value), "0") == 0)
		mend = "sysctl -w kernel.unprivileged_userns_clone=1";
	else if (strcmp(read_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", value), "1") == 0)
		mend = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
	else if (err.code == -EINVAL)
		mend = "use a kernel with CONFIG_USER_NS";
	doctor->no_userns = true;
	findings_fault(findings, "userns", mend, "%s: rootless containers and --userns need it", err.msg);
}

static int write_map(const char *path, const char *text, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	return io_write_all(fd, text, strlen(text), err);
}

/* Where we are no root: root of a user namespace, as a rootless engine is; mapped, so that it stays so at an exec. */
static int become_root(struct error *err)
{
	char uids[32], gids[32];
	(void) snprintf(uids, sizeof(uids), "0 %u 1", (unsigned) geteuid());
	(void) snprintf(gids, sizeof(gids), "0 %u 1", (unsigned) getegid());
	if (geteuid() == 0)
		return 0;
	if (unshare(CLONE_NEWUSER) < 0)
		return error_set(err, errno, "unshare(CLONE_NEWUSER)");
	int r = write_map("/proc/self/setgroups", "deny", err);
	if (r == 0)
		r = write_map("/proc/self/uid_map", uids, err);
	return r == 0 ? write_map("/proc/self/gid_map", gids, err) : r;
}

static int try_netns(void *arg, struct error *err)
{
	(void) arg;
	int r = become_root(err);
	return r == 0 && unshare(CLONE_NEWNET) < 0 ? error_set(err, errno, "unshare(CLONE_NEWNET)") : r;
}

static int keep_netns(void *arg, struct error *err)
{
	return netns_open(gettid(), arg, err); /* a thread may be in it, and no process */
}

/* The real thing, between namespaces that nobody else is in. */
static int try_link(void *arg, struct error *err)
{
	const struct settings *settings = arg;
	const struct link_config config = {
		.kind = LINK_VETH,
		.proxy = settings->proxy,
		.container = settings->container,
		.prefix = settings->prefix,
		.port = settings->port,
	};
	_cleanup_close_ int netns = -1;
	struct link link;
	int r = become_root(err);
	if (r == 0)
		r = netns_call_fresh(keep_netns, &netns, err);
	if (r == 0)
		r = link_make(netns, &config, &link, err);
	if (r == 0)
		link_undo(netns, &link);
	return r;
}

static void check_netns(struct doctor *doctor)
{
	struct findings *findings = &doctor->findings;
	const char *mend = geteuid() == 0 ? "run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"
					  : "run it as root; for rootless containers mend userns first";
	struct error err;
	if (child_try(try_netns, NULL, TRY_TIMEOUT_MS, &err) < 0) {
		findings_fault(findings, "netns", mend, "%s", err.msg);
		return;
	}
	findings_ok(findings, "netns", "network namespaces can be made");
	struct settings settings = *doctor->settings;
	if (child_try(try_link, &settings, TRY_TIMEOUT_MS, &err) == 0)
		findings_ok(findings, "veth", "a link to a transit namespace can be made");
	else
		findings_fault(findings, "veth",
			err.code == -EOPNOTSUPP ? "modprobe veth; without it, \"link\": \"socket\" in the policies"
						: mend,
			"%s", err.msg);
}

/* What a gate is made of: both families, both kinds of chains. */
static const char gate_like[] =
	"table inet oci-egress-doctor {\n"
	"chain out {\n type filter hook postrouting priority 300; policy accept;\n oifname \"lo\" accept\n drop\n}\n}\n"
	"table netdev oci-egress-doctor {\n"
	"chain out {\n type filter hook egress device \"lo\" priority 0; policy accept;\n meta mark 1 accept\n}\n}\n";

static int try_nft(void *arg, struct error *err)
{
	static const char *const programs[] = { "nft", "/usr/sbin/nft", "/sbin/nft" };
	struct child child;
	(void) arg;
	int r = become_root(err);
	if (r == 0 && unshare(CLONE_NEWNET) < 0)
		r = error_set(err, errno, "unshare(CLONE_NEWNET)");
	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(programs) && (r == -ENOENT || r == -EACCES); i++)
		r = child_run(
			(const char *const[]){ programs[i], "-f", "-", NULL }, gate_like, TRY_TIMEOUT_MS, &child, err);
	if (r <= 0)
		return r;
	const char *problem = strstr(child.err_text, "Error: ");
	problem = problem ? problem : child.err_text;
	return error_say(err, EIO, "nft -f -: %.*s", (int) strcspn(problem, "\n"), problem);
}

static void check_nft(struct findings *findings)
{
	struct error err;
	int r = child_try(try_nft, NULL, 2 * TRY_TIMEOUT_MS, &err);
	if (r == 0)
		findings_ok(findings, "nft", "rules can be loaded");
	else if (r == -ENOENT || r == -EACCES)
		findings_fault(findings, "nft", "apt-get install nftables (or dnf, apk, zypper)",
			"there is no nft: containers whose network namespace has other interfaces cannot be guarded");
	else
		findings_fault(findings, "nft", "modprobe nf_tables", "%s", err.msg);
}

/* As the tracer does to a container's init: seize it, and let it go on. */
static int try_ptrace(void *arg, struct error *err)
{
	(void) arg;
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			(void) pause();
	if (pid < 0)
		return error_set(err, errno, "fork");
	int r = 0;
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC) < 0)
		r = error_set(err, errno, "ptrace(PTRACE_SEIZE)");
	(void) kill(pid, SIGKILL);
	(void) waitpid(pid, NULL, 0);
	return r;
}

static bool has_filter(void)
{
	return prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER;
}

static void check_ptrace(struct findings *findings)
{
	struct error err;
	char scope[64];
	(void) read_line("/proc/sys/kernel/yama/ptrace_scope", scope);
	if (strcmp(scope, "3") == 0) {
		findings_fault(findings, "ptrace",
			"take ptrace_scope=3 out of /etc/sysctl.d and reboot: it cannot be taken back",
			"kernel.yama.ptrace_scope is 3: no process can be armed");
		return;
	}
	if (child_try(try_ptrace, NULL, TRY_TIMEOUT_MS, &err) == 0) {
		findings_ok(findings, "ptrace", "processes can be armed%s%s",
			scope[0] ? ", kernel.yama.ptrace_scope " : "", scope);
		return;
	}
	findings_fault(findings, "ptrace",
		has_filter() ? "allow ptrace in the seccomp profile of whoever starts containers (systemd: "
			       "SystemCallFilter=@debug)"
			     : "give whoever starts containers CAP_SYS_PTRACE",
		"%s%s", err.msg, has_filter() ? ": a seccomp profile denies it" : "");
}

/* EFAULT: the flags are known, and the filter, which is none, is looked at next; seccomp(2). */
static void check_seccomp(struct findings *findings)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL) < 0 && errno == EFAULT)
		findings_ok(findings, "seccomp", "filters for all threads at once");
	else
		findings_fault(findings, "seccomp",
			"use a kernel with CONFIG_SECCOMP_FILTER, and allow seccomp where a profile denies it",
			"seccomp(SECCOMP_FILTER_FLAG_TSYNC): %s", strerror(errno));
}

static void check_calls(struct findings *findings)
{
	static const char mend[] = "allow it in the seccomp profile of whoever starts containers";
	_cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd >= 0)
		findings_ok(findings, "pidfd", "processes can be watched");
	else
		findings_fault(findings, "pidfd", mend, "pidfd_open: %s", strerror(errno));

	static char *const none[] = { NULL };
	if (syscall(SYS_execveat, -1, "", none, none, AT_EMPTY_PATH) < 0 && errno == EBADF)
		findings_ok(findings, "execveat", "programs can be started by descriptor");
	else
		findings_fault(findings, "execveat", mend, "execveat: %s", strerror(errno));
}

static void check_cgroup(const struct doctor *doctor, struct findings *findings)
{
	struct statfs fs;
	bool hybrid = access("/sys/fs/cgroup/unified", F_OK) == 0;
	if (statfs("/sys/fs/cgroup", &fs) < 0)
		findings_fault(findings, "cgroup", "mount -t cgroup2 cgroup2 /sys/fs/cgroup", "/sys/fs/cgroup: %s",
			strerror(errno));
	else if (fs.f_type == CGROUP2_SUPER_MAGIC)
		findings_ok(findings, "cgroup", "version 2");
	else if (hybrid && doctor->engine && strcmp(doctor->engine, "crun") == 0)
		findings_fault(findings, "cgroup", "boot with systemd.unified_cgroup_hierarchy=1",
			"hybrid, which crun refuses");
	else
		findings_ok(findings, "cgroup", hybrid ? "hybrid (crun may refuse it; runc does not)" : "version 1");
}

void doctor_kernel(struct doctor *doctor)
{
	struct findings *findings = &doctor->findings;
	check_version(findings);
	check_userns(doctor);
	check_netns(doctor);
	check_nft(findings);
	check_ptrace(findings);
	check_seccomp(findings);
	check_calls(findings);
	check_cgroup(doctor, findings);
}
