/* SPDX-License-Identifier: Apache-2.0 */
/* A library that says, by a file "sprung" in the cwd, that somebody has loaded it. */
#include <fcntl.h>
#include <unistd.h>

static void __attribute__((constructor)) spring(void)
{
	int fd = open("sprung", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}
