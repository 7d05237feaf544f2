/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/snapshot.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/io.h"

#define HOST_FILE_MAX (4u << 20)

int snapshot(const char *path, int *ret_fd, struct error *err)
{
	_cleanup_close_ int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", path);

	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = io_read_all(file, HOST_FILE_MAX, &text, &len, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	return len > 0 ? io_memfd(path, text, len, ret_fd, err) : 0;
}
