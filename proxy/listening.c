/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By way of proc(5): /proc/net/tcp names the inodes of sockets, /proc/PID/fd those that a process has. Children lists
 * of processes would be shorter to walk than /proc, but need CONFIG_PROC_CHILDREN.
 */
#include "proxy/listening.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define STATE_LISTEN 0x0a
#define INODES_MAX 16

struct inodes {
	size_t n;
	unsigned long v[INODES_MAX];
};

enum reach {
	REACH_NONE,
	REACH_MAYBE, /* [::], which takes IPv4 too unless it is IPV6_V6ONLY, ipv6(7): /proc does not tell */
	REACH_SURE,
};

/*
 * Of a connection to 127.0.0.1: that address, also in its IPv4-mapped form, or the unspecified one of either family.
 * The kernel prints an address's 32-bit words as numbers of its own byte order.
 */
static enum reach reach(const char *address)
{
	if (strspn(address, "0") == strlen(address))
		return strlen(address) == 8 ? REACH_SURE : REACH_MAYBE;

	static const unsigned char words[2][4] = { { 0, 0, 0xff, 0xff }, { 127, 0, 0, 1 } };
	uint32_t mapped, loopback;
	memcpy(&mapped, words[0], sizeof(mapped));
	memcpy(&loopback, words[1], sizeof(loopback));
	char text[33];
	(void) snprintf(text, sizeof(text), "0000000000000000%08X%08X", mapped, loopback);
	return strcmp(address, text) == 0 || strcmp(address, text + 24) == 0 ? REACH_SURE : REACH_NONE;
}

/*
 * Does a listener hold 127.0.0.1:port? bind(2) tells without a connection that the proxy would see. SO_REUSEADDR, so
 * that connections do not count, and a command that is about to bind the same is not in our way, nor we in its.
 */
static bool is_held(uint16_t port)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;
	const struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	       bind(fd, (const struct sockaddr *) &sin, sizeof(sin)) < 0 && errno == EADDRINUSE;
}

/* sl local_address rem_address st queues tr:when retransmit uid timeout inode. Listeners come first. */
static void read_listeners(const char *path, uint16_t port, enum reach least, struct inodes *inodes)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return; /* no IPv6 */
	char line[512];
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	while (inodes->n < INODES_MAX && fgets(line, sizeof(line), file)) {
		char address[33];
		unsigned local, state;
		unsigned long inode;
		if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", address, &local,
			    &state, &inode) != 4)
			continue;
		if (state != STATE_LISTEN)
			break;
		if (local == port && inode != 0 && reach(address) >= least)
			inodes->v[inodes->n++] = inode;
	}
	(void) fclose(file);
}

static bool is_one_of(const char *target, const struct inodes *inodes)
{
	unsigned long inode;
	if (sscanf(target, "socket:[%lu]", &inode) != 1)
		return false;
	for (size_t i = 0; i < inodes->n; i++)
		if (inodes->v[i] == inode)
			return true;
	return false;
}

static bool has_one_of(int process, const struct inodes *inodes)
{
	int dir = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *entries = dir < 0 ? NULL : fdopendir(dir);
	if (!entries) {
		if (dir >= 0)
			close(dir);
		return false;
	}
	for (const struct dirent *entry; (entry = readdir(entries));) {
		char target[64];
		ssize_t n = readlinkat(dir, entry->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (is_one_of(target, inodes))
			return true;
	}
	return false;
}

static bool same_namespace(int process, const struct stat *namespace)
{
	struct stat st;
	return fstatat(process, "ns/pid", &st, 0) == 0 && st.st_dev == namespace->st_dev &&
	       st.st_ino == namespace->st_ino;
}

static bool find_process(int proc, DIR *entries, const struct stat *namespace, uid_t uid, const struct inodes *inodes)
{
	for (const struct dirent *entry; (entry = readdir(entries));) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		_cleanup_close_ int process = openat(proc, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (process < 0 || !same_namespace(process, namespace))
			continue;
		/*
		 * /proc/PID/fd has mode 0500 and belongs to the process's uid, or to root where it is not dumpable.
		 * CAP_DAC_READ_SEARCH would open every file of the host to us; being that uid opens only this.
		 */
		bool found = has_one_of(process, inodes);
		if (!found) {
			(void) setfsuid(uid);
			found = has_one_of(process, inodes);
			(void) setfsuid(geteuid());
		}
		if (found)
			return true;
	}
	return false;
}

bool listening_in(pid_t init, uid_t uid, uint16_t port)
{
	struct inodes inodes = { 0 };
	read_listeners("/proc/self/net/tcp", port, REACH_SURE, &inodes);
	read_listeners("/proc/self/net/tcp6", port, REACH_SURE, &inodes);
	/* One that is there for sure, whoever's, is what a connection reaches; else whatever holds the port. */
	if (inodes.n == 0 && is_held(port))
		read_listeners("/proc/self/net/tcp6", port, REACH_MAYBE, &inodes);
	if (inodes.n == 0)
		return false;

	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *entries = proc < 0 ? NULL : fdopendir(proc);
	char path[32];
	(void) snprintf(path, sizeof(path), "%d/ns/pid", (int) init);
	struct stat namespace;
	if (!entries || fstatat(proc, path, &namespace, 0) < 0)
		return false;
	return find_process(proc, entries, &namespace, uid, &inodes);
}
