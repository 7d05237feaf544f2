/* SPDX-License-Identifier: Apache-2.0 */
/* A program with a C library, and a dynamic linker in front. Says what it was started with, as bare.c does. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"

extern char **environ;

static void say_strings(const char *what, char **strings)
{
	unsigned hash = REPORT_HASH_START, n = 0;
	for (; strings[n]; n++)
		hash = report_hash(hash, strings[n]);
	printf("%s %u %x\n", what, n, hash);
}

static const char *environ_compare(void)
{
	static char file[8 << 20];
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;
	while ((n = read(fd, file + len, sizeof(file) - len)) > 0)
		len += (size_t) n;
	close(fd);

	const char *p = file, *end = file + len;
	for (char **e = environ; *e; e++) {
		size_t size = strlen(*e) + 1;
		if ((size_t) (end - p) < size || memcmp(p, *e, size) != 0)
			return "DIFFERENT";
		p += size;
	}
	return p == end ? "same" : "DIFFERENT";
}

/* "full uid": who it is, and nothing else. */
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "uid") == 0)
		return printf("uid %d %d %d\n", (int) getuid(), (int) geteuid(),
			       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) < 0;

	/* argv[0] is preceded by argc, at the first instruction's stack pointer */
	printf("sp %s\n", ((uintptr_t) argv - sizeof(long)) % 16 == 0 ? "ok" : "WRONG");
	say_strings("args", argv);
	say_strings("env", environ);
	printf("execfn %s\n", (const char *) getauxval(AT_EXECFN));
	printf("environ %s\n", environ_compare());
	printf("udp %s\n", socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EPERM ? "refused" : "OPEN");
	return getauxval(AT_RANDOM) == 0;
}
