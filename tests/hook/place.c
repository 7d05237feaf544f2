/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hook/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/hook/cmocka_all.h"

char *place_enter(void)
{
	char *path = strdup("/tmp/oci-egress-test-XXXXXX");
	assert_non_null(path);
	assert_non_null(mkdtemp(path));
	assert_return_code(chdir(path), 0);
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

void place_leave(char *path)
{
	assert_return_code(chdir("/"), 0);
	assert_return_code(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}

void place_write(const char *name, const char *text)
{
	_cleanup_close_ int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_return_code(fd, 0);
	assert_return_code(io_write_all(fd, text, strlen(text), NULL), 0);
}
