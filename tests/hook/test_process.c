/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/process.h"
#include "tests/hook/cmocka_all.h"

/* A child that only waits, under a name that tries to look like the fields of /proc/PID/stat. */
static pid_t sleeper(void)
{
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0) {
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void) prctl(PR_SET_NAME, ") R 1 2 3 4");
		for (;;)
			pause();
	}
	return pid;
}

static void knows_the_living_from_the_dead(void **state)
{
	(void) state;
	pid_t pid = sleeper();
	_cleanup_close_ int pidfd = -1;
	uint64_t start;
	assert_int_equal(process_open(pid, &pidfd, NULL), 0);
	assert_int_equal(process_start_time(pid, &start, NULL), 0);
	assert_true(start > 0);
	assert_true(process_alive(pidfd));
	assert_true(process_same(pid, start));
	assert_false(process_same(pid, start + 1));

	assert_return_code(kill(pid, SIGKILL), 0);
	assert_true(process_wait(pidfd, 10000));
	assert_false(process_same(pid, start)); /* a zombie still */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_alive(pidfd));
	assert_false(process_same(pid, start));

	int untouched = -7;
	struct error err;
	assert_int_equal(process_open(pid, &untouched, &err), -ESRCH);
	assert_int_equal(untouched, -7);
}

static void *outlive(void *arg)
{
	while (!arg)
		pause();
	return NULL;
}

/* proc(5) calls it a zombie. */
static void lives_as_long_as_any_thread(void **state)
{
	(void) state;
	int started[2];
	assert_return_code(pipe(started), 0);
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0) {
		pthread_t thread;
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pthread_create(&thread, NULL, outlive, NULL) != 0)
			_exit(1);
		close(started[0]);
		close(started[1]);
		(void) syscall(SYS_exit, 0); /* this thread alone */
	}
	close(started[1]);
	char byte;
	assert_int_equal(read(started[0], &byte, 1), 0);
	close(started[0]);
	uint64_t start;
	assert_int_equal(process_start_time(pid, &start, NULL), 0);
	assert_true(process_same(pid, start));
	assert_return_code(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_same(pid, start));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_living_from_the_dead),
		cmocka_unit_test(lives_as_long_as_any_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
