/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: whole reads and writes, memfds, messages with descriptors. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Reads fd to its end. *ret_text (to be freed; one NUL more than *ret_len) and *ret_len are untouched on failure.
 * More than max bytes: the rest is read and thrown away, so that the writer never gets EPIPE, and the result is -EFBIG.
 */
int io_read_all(int fd, size_t max, char **ret_text, size_t *ret_len, struct error *err);

/* The same for what a stranger writes. -ETIMEDOUT: its end has not come within timeout_ms. */
int io_read_all_within(int fd, size_t max, int timeout_ms, char **ret_text, size_t *ret_len, struct error *err);

/* Writes all of it, whatever write(2) takes at a time. Blocking descriptors only. */
int io_write_all(int fd, const void *bytes, size_t len, struct error *err);

/* A sealed, read-only memfd (memfd_create(2)) with these bytes. *ret_fd belongs to the caller. */
int io_memfd(const char *name, const void *bytes, size_t len, int *ret_fd, struct error *err);

/*
 * Maps a whole memfd of io_memfd()'s, or a file of at most max bytes, read-only and privately. munmap(2) by the caller.
 * A descriptor that somebody else gave must be sealed against shrinking, else SIGBUS is theirs to send: checked.
 */
int io_map_sealed(int fd, size_t max, const void **ret_map, size_t *ret_len, struct error *err);

/* The most descriptors that one message carries. */
#define IO_FDS_MAX 8

/* Sends one message on a SOCK_SEQPACKET socket, with descriptors (SCM_RIGHTS, unix(7)). Never SIGPIPE. 0 or -errno. */
int io_send(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds);

/*
 * Receives one message. Returns its length, 0 at the end, or -errno (-EMSGSIZE: longer than size, or too many
 * descriptors; those that came are closed). fds[0..*ret_n) (O_CLOEXEC) belong to the caller; fds has room for
 * IO_FDS_MAX.
 */
ssize_t io_recv(int sock, void *bytes, size_t size, int *fds, size_t *ret_n);
