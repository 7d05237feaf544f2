/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/canary_home.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define TMP "/tmp"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

/* What mounts hide, or a mount itself, stays: nothing but what lies in our own directory is removed. */
static void remove_tree(const char *path)
{
	(void) nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int copy_program(const char *to, struct error *err)
{
	_cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat st;
	if (from < 0 || fd < 0 || fstat(from, &st) < 0 || fchmod(fd, 0755) < 0)
		return error_set(err, errno, "%s", to);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(fd, from, NULL, (size_t) left);
		if (n <= 0)
			return error_set(err, n < 0 ? errno : EIO, "%s", to);
		left -= n;
	}
	return 0;
}

static int make_dir(struct canary_home *home, struct error *err)
{
	char path[128];
	(void) snprintf(home->dir, sizeof(home->dir), TMP "/" CANARY_NAME "%d.XXXXXX", (int) getpid());
	if (!mkdtemp(home->dir)) {
		home->dir[0] = '\0';
		return error_set(err, errno, "make a directory in /tmp");
	}
	(void) snprintf(path, sizeof(path), "%s/rootfs", home->dir);
	if (chmod(home->dir, 0755) < 0 || mkdir(path, 0755) < 0 || chmod(path, 0755) < 0)
		return error_set(err, errno, "%s", path);
	(void) snprintf(path, sizeof(path), "%s/rootfs" CANARY_PROGRAM, home->dir);
	return copy_program(path, err);
}

/* On the host's loopback: nothing goes out, and nobody from outside can come in. */
static int open_listener(struct canary_home *home, struct error *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	home->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (home->listener < 0 || bind(home->listener, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
		listen(home->listener, 16) < 0 || getsockname(home->listener, (struct sockaddr *) &address, &len) < 0)
		return error_set(err, errno, "listen on 127.0.0.1");
	(void) snprintf(home->listed, sizeof(home->listed), "127.0.0.1:%u", ntohs(address.sin_port));

	uint8_t bytes[(CANARY_TOKEN_SIZE - 1) / 2];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
		return error_set(err, errno, "getrandom");
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void) snprintf(home->token + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static void tell(const struct canary_home *home)
{
	for (;;) {
		_cleanup_close_ int fd = accept4(home->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			(void) io_write_all(fd, home->token, CANARY_TOKEN_SIZE - 1, NULL);
	}
}

static int start_teller(struct canary_home *home, struct error *err)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0) {
		(void) signal(SIGPIPE, SIG_IGN);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
			tell(home);
		_exit(1);
	}
	home->teller = pid;
	return 0;
}

/* What has a name of this form, "oci-egress-doctor-PID.SOMETHING", and is that of a doctor that was killed. */
static bool is_stale(const char *name, const char **ret_something)
{
	int pid, len = 0;
	if (sscanf(name, CANARY_NAME "%d.%n", &pid, &len) != 1 || len == 0 || kill(pid, 0) == 0 || errno != ESRCH)
		return false;
	*ret_something = name + len;
	return true;
}

static void remove_stale_policies(const char *policies)
{
	_cleanup_closedir_ DIR *stream = opendir(policies);
	const char *rest;
	for (const struct dirent *e = stream ? readdir(stream) : NULL; e; e = readdir(stream))
		if (is_stale(e->d_name, &rest) && strcmp(rest, "json") == 0)
			(void) unlinkat(dirfd(stream), e->d_name, 0);
}

/* Directories of ours alone: in /tmp others can take any name. */
static void remove_stale_dirs(void)
{
	_cleanup_closedir_ DIR *stream = opendir(TMP);
	const char *rest;
	for (const struct dirent *e = stream ? readdir(stream) : NULL; e; e = readdir(stream)) {
		char path[sizeof(TMP) + NAME_MAX + 1];
		struct stat st;
		if (!is_stale(e->d_name, &rest))
			continue;
		(void) snprintf(path, sizeof(path), TMP "/%s", e->d_name);
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
			remove_tree(path);
	}
}

static int write_policy(const struct settings *settings, struct canary_home *home, struct error *err)
{
	char text[256], file[PATH_MAX];
	(void) snprintf(home->name, sizeof(home->name), CANARY_NAME "%d", (int) getpid());
	if ((size_t) snprintf(file, sizeof(file), "%s/%s.json", settings->policies, home->name) >= sizeof(file))
		return error_set(err, ENAMETOOLONG, "%s", settings->policies);
	int len = snprintf(text, sizeof(text),
		"{\"allow\": [\"%s\"], \"networks\": [\"127.0.0.1/32\"], \"on_failure\": \"closed\"}\n", home->listed);

	remove_stale_policies(settings->policies);
	_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set(err, errno, "%s", file);
	memcpy(home->policy_file, file, sizeof(file));
	if (fchmod(fd, 0644) < 0)
		return error_set(err, errno, "%s", file);
	return io_write_all(fd, text, (size_t) len, err);
}

int canary_home_make(const struct settings *settings, struct canary_home *ret, struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", ret->program, sizeof(ret->program) - 1);
	if (n <= 0)
		return error_set(err, errno, "/proc/self/exe");
	ret->program[n] = '\0';
	remove_stale_dirs();
	int r = make_dir(ret, err);
	if (r == 0)
		r = open_listener(ret, err);
	if (r == 0)
		r = start_teller(ret, err);
	if (r == 0)
		r = write_policy(settings, ret, err);
	return r;
}

void canary_home_clear(struct canary_home *home)
{
	if (home->policy_file[0] != '\0')
		(void) unlink(home->policy_file);
	if (home->teller > 0) {
		(void) kill(home->teller, SIGKILL);
		while (waitpid(home->teller, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (home->dir[0] != '\0')
		remove_tree(home->dir);
	cleanup_close(&home->listener);
	*home = CANARY_HOME_EMPTY;
}
