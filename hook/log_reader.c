/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/state.h"

#define BUFFER_SIZE 16384

/* How often two files are opened again because they have changed places meanwhile. */
#define OPEN_TRIES 8

struct log_reader {
	int dir;
	int older; /* to be read first; -1: none, or read */
	int fd;
	ino_t ino;  /* of fd */
	bool moved; /* fd's file has lost its name: what is in it now is all */
	bool skipping;
	size_t start, end; /* in buffer: what has been read and not returned */
	char id[STATE_ID_MAX + 1];
	char buffer[BUFFER_SIZE];
};

const char *log_reader_id(const struct log_reader *reader)
{
	return reader->id;
}

void log_reader_free(struct log_reader *reader)
{
	if (!reader)
		return;
	cleanup_close(&reader->older);
	cleanup_close(&reader->fd);
	free(reader);
}

static int open_file(
	const struct log_reader *reader, const char *suffix, int *ret_fd, ino_t *ret_ino, struct error *err)
{
	char name[STATE_ID_MAX + sizeof(".log.1")];
	(void) snprintf(name, sizeof(name), "%s%s", reader->id, suffix);
	_cleanup_close_ int fd = openat(reader->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "log %s", name);
	if (!S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "log %s: not a regular file", name);
	*ret_fd = TAKE_FD(fd);
	*ret_ino = st.st_ino;
	return 0;
}

/* Both files, at a moment when they were two. read: the inode of the one that has been read, which is older. */
static int open_files(struct log_reader *reader, ino_t read, struct error *err)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		_cleanup_close_ int fd = -1, older = -1;
		ino_t ino = 0, older_ino = 0;
		int r = open_file(reader, ".log", &fd, &ino, err);
		if (r < 0)
			return r;
		r = open_file(reader, ".log.1", &older, &older_ino, err);
		if (r < 0 && r != -ENOENT)
			return r;
		if (older >= 0 && older_ino == ino)
			continue;
		cleanup_close(&reader->fd);
		reader->fd = TAKE_FD(fd);
		reader->ino = ino;
		reader->moved = false;
		if (older >= 0 && older_ino != read)
			reader->older = TAKE_FD(older);
		return 0;
	}
	return error_say(err, EAGAIN, "log %s.log: it is rotated faster than it can be read", reader->id);
}

int log_reader_open(int dir, const char *id, struct log_reader **ret, struct error *err)
{
	struct log_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return error_set(err, ENOMEM, "log %s", id);
	reader->dir = dir;
	reader->fd = reader->older = -1;
	(void) snprintf(reader->id, sizeof(reader->id), "%s", id);
	int r = open_files(reader, 0, err);
	if (r < 0) {
		log_reader_free(reader);
		return r;
	}
	*ret = reader;
	return 0;
}

static bool has_moved(const struct log_reader *reader)
{
	char name[STATE_ID_MAX + sizeof(".log")];
	struct stat st;
	(void) snprintf(name, sizeof(name), "%s.log", reader->id);
	return fstatat(reader->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino != reader->ino;
}

/* At the end of a file. 1: there is another to go on with; 0: there is not. */
static int go_on(struct log_reader *reader, struct error *err)
{
	if (reader->older >= 0) {
		cleanup_close(&reader->older);
		reader->older = -1;
	} else if (!reader->moved) {
		reader->moved = has_moved(reader); /* read once more: what was written before that */
		return reader->moved;
	} else {
		int r = open_files(reader, reader->ino, err);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	reader->start = reader->end = 0; /* a line that was torn apart has no end in another file */
	reader->skipping = false;
	return 1;
}

/* 1: something has come; 0: the end. */
static int fill(struct log_reader *reader, struct error *err)
{
	if (reader->start > 0) {
		memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	if (reader->end == BUFFER_SIZE) {
		reader->end = 0;
		reader->skipping = true;
	}
	ssize_t n;
	do
		n = read(reader->older >= 0 ? reader->older : reader->fd, reader->buffer + reader->end,
			BUFFER_SIZE - reader->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(err, errno, "log %s.log", reader->id);
	reader->end += (size_t) n;
	return n > 0;
}

static bool take_line(struct log_reader *reader, const char **ret_line, size_t *ret_len)
{
	const char *line = reader->buffer + reader->start;
	const char *end = memchr(line, '\n', reader->end - reader->start);
	if (!end)
		return false;
	*ret_line = line;
	*ret_len = (size_t) (end - line);
	reader->start += *ret_len + 1;
	return true;
}

int log_reader_next(struct log_reader *reader, const char **ret_line, size_t *ret_len, struct error *err)
{
	for (;;) {
		while (take_line(reader, ret_line, ret_len)) {
			if (!reader->skipping)
				return 1;
			reader->skipping = false;
		}
		int r = fill(reader, err);
		if (r == 0)
			r = go_on(reader, err);
		if (r <= 0)
			return r;
	}
}
