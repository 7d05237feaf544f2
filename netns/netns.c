/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* asm-generic/socket.h; the headers of Linux before 5.14 lack it */
#endif

/* Of the thread, not the process: setns(2) and unshare(2) move threads. */
#define NETNS_OWN "/proc/thread-self/ns/net"

int netns_open(pid_t pid, int *ret_fd, struct error *err)
{
	char path[sizeof("/proc//ns/net") + 3 * sizeof(pid)];
	(void) snprintf(path, sizeof(path), "/proc/%d/ns/net", (int) pid);

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	*ret_fd = fd;
	return 0;
}

int netns_is_own(int netns, struct error *err)
{
	if (ioctl(netns, NS_GET_NSTYPE) != CLONE_NEWNET)
		return error_say(err, EINVAL, "the descriptor is not a network namespace's");

	struct stat theirs, own;
	if (fstat(netns, &theirs) < 0)
		return error_set(err, errno, "stat of a network namespace");
	if (stat(NETNS_OWN, &own) < 0)
		return error_set(err, errno, NETNS_OWN);
	return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

int netns_cookie(int netns, uint64_t *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r = netns_socket(netns, AF_UNIX, SOCK_DGRAM, 0, &fd, err);
	if (r < 0)
		return r;

	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return error_set(err, errno, "SO_NETNS_COOKIE");
	*ret = cookie;
	return 0;
}

static int netns_leave(int own, int result)
{
	if (setns(own, CLONE_NEWNET) < 0)
		abort(); /* whatever this thread did next, it would do to the wrong network */
	return result;
}

/* What is to be done in a namespace: one that there is, or a fresh one. */
struct netns_errand {
	int netns; /* -1: a fresh one */
	int (*fn)(void *arg, struct error *err);
	void *arg;
	struct error *err;
	int result;
};

static int netns_enter(const struct netns_errand *errand)
{
	if (errand->netns < 0)
		return unshare(CLONE_NEWNET) < 0 ? error_set(errand->err, errno, "make a network namespace") : 0;
	return setns(errand->netns, CLONE_NEWNET) < 0 ? error_set(errand->err, errno, "enter the network namespace")
						      : 0;
}

static void *netns_one_way(void *arg)
{
	struct netns_errand *errand = arg;
	errand->result = netns_enter(errand);
	if (errand->result == 0)
		errand->result = errand->fn(errand->arg, errand->err);
	return NULL;
}

/* For whom there is no way back: a thread of its own goes, and ends there. */
static int netns_send(struct netns_errand *errand)
{
	pthread_t thread;
	int failure = pthread_create(&thread, NULL, netns_one_way, errand);
	if (failure == 0)
		failure = pthread_join(thread, NULL);
	return failure ? error_set(errand->err, failure, "a thread for the network namespace") : errand->result;
}

/*
 * Root of a user namespace may enter what that owns, but not return to a network namespace of the host's: the owner of
 * that is out of its sight, which is what EPERM says here (ioctl_ns(2)).
 */
static bool netns_can_return(int own)
{
	_cleanup_close_ int owner = ioctl(own, NS_GET_USERNS);
	return owner >= 0 || errno != EPERM;
}

static int netns_run(struct netns_errand *errand)
{
	_cleanup_close_ int own = open(NETNS_OWN, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return error_set(errand->err, errno, NETNS_OWN);
	if (!netns_can_return(own))
		return netns_send(errand);
	int r = netns_enter(errand);
	return r < 0 ? r : netns_leave(own, errand->fn(errand->arg, errand->err));
}

int netns_call(int netns, int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	struct netns_errand errand = { .netns = netns, .fn = fn, .arg = arg, .err = err };
	if (netns < 0)
		return error_set(err, EBADF, "enter the network namespace");
	return netns_run(&errand);
}

int netns_call_fresh(int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	struct netns_errand errand = { .netns = -1, .fn = fn, .arg = arg, .err = err };
	return netns_run(&errand);
}

struct netns_socket_args {
	int domain, type, protocol;
	int fd;
};

static int netns_socket_here(void *arg, struct error *err)
{
	struct netns_socket_args *args = arg;

	args->fd = socket(args->domain, args->type | SOCK_CLOEXEC, args->protocol);
	return args->fd < 0 ? error_set(err, errno, "socket") : 0;
}

int netns_socket(int netns, int domain, int type, int protocol, int *ret_fd, struct error *err)
{
	struct netns_socket_args args = { .domain = domain, .type = type, .protocol = protocol, .fd = -1 };
	int r = netns_call(netns, netns_socket_here, &args, err);
	if (r < 0)
		return r;
	*ret_fd = args.fd;
	return 0;
}
