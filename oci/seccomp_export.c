/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp_export.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* libseccomp exports to a descriptor and nowhere else. */
int seccomp_export(void *ctx, struct sock_fprog *ret, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "memfd_create");
	int r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return error_set(err, -r, "seccomp_export_bpf");

	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "exported seccomp filter");
	size_t size = (size_t) st.st_size, n = size / sizeof(struct sock_filter);
	if (n == 0 || size % sizeof(struct sock_filter))
		return error_say(err, EBADMSG, "exported seccomp filter has %zu bytes", size);
	if (n > BPF_MAXINSNS)
		return error_say(
			err, E2BIG, "seccomp filter of %zu instructions, expected at most %d", n, BPF_MAXINSNS);

	_cleanup_free_ struct sock_filter *filter = malloc(size);
	if (!filter)
		return error_set(err, ENOMEM, "exported seccomp filter");
	if (pread(fd, filter, size, 0) != (ssize_t) size)
		return error_say(err, EIO, "exported seccomp filter: short read");
	*ret = (struct sock_fprog){ .len = (unsigned short) n, .filter = TAKE_PTR(filter) };
	return 0;
}
