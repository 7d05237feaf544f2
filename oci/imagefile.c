/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/imagefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/image.h"
#include "oci/owner.h"

int imagefile_write(int dir, const char *name, const struct image *image, struct error *err)
{
	char draft[NAME_MAX + 1];
	if (snprintf(draft, sizeof(draft), ".%s.new", name) >= (int) sizeof(draft))
		return error_set(err, ENAMETOOLONG, "%s", name);

	/* The draft of a writer that was killed has no readers. */
	_cleanup_close_ int fd = openat(dir, draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return error_set(err, errno, "policy image %s", draft);
	int r = io_write_all(fd, image, image->size, err);
	if (r == 0 && renameat(dir, draft, dir, name) < 0)
		r = error_set(err, errno, "rename");
	if (r < 0) {
		(void) unlinkat(dir, draft, 0);
		return error_wrap(err, "policy image %s", name);
	}
	return 0;
}

int imagefile_open(int dir, const char *name, const char *file, int *ret_fd, struct error *err)
{
	return owner_open(dir, name, file, ret_fd, err);
}

/* Can nobody make it shorter, or other, while it is mapped? Else SIGBUS, or the decisions, are theirs. */
static int check_lasting(int fd, const struct stat *st, struct error *err)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS); /* what is no memfd has none, or no such call, fcntl(2) */
	if (seals >= 0 && (seals & needed) == needed)
		return 0;
	if (!S_ISREG(st->st_mode))
		return error_say(err, EPERM, "policy image: neither a sealed memfd nor a file");
	return owner_check(st, "policy image", err);
}

int imagefile_map(int fd, const struct image **ret, size_t *ret_len, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "policy image");
	int r = check_lasting(fd, &st, err);
	if (r < 0)
		return r;
	if (st.st_size <= 0 || st.st_size > IMAGE_SIZE_MAX)
		return error_say(err, EFBIG, "policy image: %lld bytes, expected 1 to %u", (long long) st.st_size,
			IMAGE_SIZE_MAX);

	size_t len = (size_t) st.st_size;
	/* Private pages are the same ones until they are written; before Linux 6.7 no sealed memfd can be mapped
	 * shared. */
	void *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, errno, "map policy image");
	r = image_check(map, len, ret, err);
	if (r < 0)
		(void) munmap(map, len);
	else
		*ret_len = len;
	return r;
}
