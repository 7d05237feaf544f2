/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/containers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool has_ended(int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	return poll(&pfd, 1, 0) > 0;
}

/* Only a pidfd takes a signal; an error other than EBADF comes from the process behind it. pidfd_send_signal(2) */
static bool is_pidfd(int fd)
{
	return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 || errno != EBADF;
}

static void drop(struct containers *containers, size_t i)
{
	close(containers->v[i].pidfd);
	containers->v[i] = containers->v[--containers->n];
}

#define RECORD_NAME_MAX (CONTROL_ID_MAX + sizeof(".json"))

static void record_name(const char *id, char name[RECORD_NAME_MAX])
{
	(void) snprintf(name, RECORD_NAME_MAX, "%s.json", id);
}

static struct container_record look_up_record(int run, const char *id)
{
	char name[RECORD_NAME_MAX];
	struct stat st;
	record_name(id, name);
	if (fstatat(run, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return (struct container_record){ 0 };
	return (struct container_record){
		.inode = st.st_ino,
		.mtime_ns = (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
	};
}

/* What hooks hold while they write a record (hook/rundir.h), and no longer. -1: the directory is gone. */
static int lock_records(int run)
{
	int fd = openat(run, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

static void unlink_own(int run, const struct container *container)
{
	struct container_record now = look_up_record(run, container->id);
	if (now.inode != container->record.inode || now.mtime_ns != container->record.mtime_ns)
		return;
	char name[RECORD_NAME_MAX];
	record_name(container->id, name);
	(void) unlinkat(run, name, 0);
}

/* Locked, so that no hook puts the record of the next container of this id there between the look and the unlink. */
static void unlink_record(int run, const struct container *container)
{
	int lock = lock_records(run);
	unlink_own(run, container);
	if (lock >= 0)
		close(lock);
}

static int grow(struct containers *containers, struct error *err)
{
	if (containers->n < containers->room)
		return 0;
	if (containers->n >= CONTROL_CONTAINERS_MAX)
		return error_say(err, ENOSPC, "%d containers are in this namespace already", CONTROL_CONTAINERS_MAX);
	size_t room = containers->room ? containers->room * 2 : 4;
	struct container *v = reallocarray(containers->v, room, sizeof(*v));
	if (!v)
		return error_set(err, ENOMEM, "containers");
	containers->v = v;
	containers->room = room;
	return 0;
}

int containers_add(struct containers *containers, const char *id, int pidfd, uint32_t owner, struct error *err)
{
	if (!is_pidfd(pidfd))
		return error_say(err, EINVAL, "not a pidfd");
	for (size_t i = 0; i < containers->n; i++) {
		if (strcmp(containers->v[i].id, id) != 0)
			continue;
		if (!has_ended(containers->v[i].pidfd)) {
			(void) error_say(err, EEXIST, "container %s has joined already", id);
			return error_close(err);
		}
		drop(containers, i); /* its record is the new one's by now */
		break;
	}
	int r = grow(containers, err);
	if (r < 0)
		return r;
	struct container *container = &containers->v[containers->n++];
	*container = (struct container){
		.pidfd = pidfd,
		.owner = owner,
		.record = look_up_record(containers->run, id),
	};
	(void) snprintf(container->id, sizeof(container->id), "%s", id);
	return 0;
}

size_t containers_commit(struct containers *containers, uint32_t owner)
{
	size_t n = 0;
	for (size_t i = 0; i < containers->n; i++) {
		struct container *container = &containers->v[i];
		if (container->owner != owner)
			continue;
		container->owner = 0;
		container->record = look_up_record(containers->run, container->id); /* the hook has written it anew */
		n++;
	}
	return n;
}

void containers_take_back(struct containers *containers, uint32_t owner)
{
	for (size_t i = containers->n; i-- > 0;)
		if (containers->v[i].owner == owner)
			drop(containers, i);
}

size_t containers_of_others(const struct containers *containers, uint32_t owner)
{
	size_t n = 0;
	for (size_t i = 0; i < containers->n; i++)
		n += containers->v[i].owner != owner;
	return n;
}

void containers_sweep(struct containers *containers)
{
	for (size_t i = containers->n; i-- > 0;) {
		if (!has_ended(containers->v[i].pidfd))
			continue;
		unlink_record(containers->run, &containers->v[i]);
		drop(containers, i);
	}
}

void containers_watch(const struct containers *containers, struct pollfd *pfds)
{
	for (size_t i = 0; i < containers->n; i++)
		pfds[i] = (struct pollfd){ .fd = containers->v[i].pidfd, .events = POLLIN };
}
