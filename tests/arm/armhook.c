/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI createRuntime hook that arms and does nothing else: for runc_test.sh. Not a JSON parser: it takes the first
 * "pid" there is.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "hook/arm.h"
#include "oci/seccomp.h"

static double now_ms(void)
{
	struct timespec t;
	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int fail(const struct error *err)
{
	log_error("%s", err->msg);
	return 1;
}

/* armhook [TIMES]: appends how long the filter's making and arm_start() took. */
int main(int argc, char **argv)
{
	_cleanup_free_ char *state = NULL;
	size_t len;
	struct error err = { 0 };
	log_open("armhook");
	if (io_read_all(STDIN_FILENO, 1 << 20, &state, &len, &err) < 0)
		return fail(&err);
	const char *field = strstr(state, "\"pid\":");
	if (!field)
		return 1;
	pid_t pid = (pid_t) strtol(field + strlen("\"pid\":"), NULL, 10);
	_cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);

	double start = now_ms();
	struct sock_fprog filter;
	if (seccomp_filter_get(&filter, &err) < 0)
		return fail(&err);
	double built = now_ms();
	struct in_addr addr = { .s_addr = htonl(0xc6120002) }; /* 198.18.0.2 */
	struct bouquet bouquet;
	bouquet_make(NULL, addr, 3128, &bouquet);
	struct arm_request request = { .pid = pid,
		.pidfd = pidfd,
		.filter = &filter,
		.bouquet = &bouquet,
		.has_seccomp_profile = getenv("ARM_PROFILE") != NULL };
	struct arm arm;
	if (arm_prepare(&request, &arm, &err) < 0 || arm_start(&arm, 5000, &err) < 0)
		return fail(&err);
	double armed = now_ms();
	if (arm_commit(&arm, &err) < 0)
		return fail(&err);
	seccomp_filter_free(&filter);

	FILE *times = argc > 1 ? fopen(argv[1], "ae") : NULL;
	if (times) {
		(void) fprintf(times, "build %.3f arm %.3f\n", built - start, armed - built);
		(void) fclose(times);
	}
	return 0;
}
