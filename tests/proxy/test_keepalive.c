/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/keepalive.h"
#include "proxy/syscalls.h"

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);
	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* By a process that may call what a worker may, on a socket that is ours too. */
static void set_in_sandbox(int fd, uint32_t idle_ms)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscalls_limit(NULL) < 0)
			_exit(1);
		keepalive_set(fd, idle_ms);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_what_is_set(void **state)
{
	(void) state;
	static const struct {
		uint32_t idle_ms;
		int gone_ms;
	} rows[] = { { 1000, 1000 }, { 600000, 600000 }, { 604800000, 900000 } };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
		set_in_sandbox(fd, rows[i].idle_ms);
		assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
		assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), rows[i].gone_ms);
		close(fd);
	}
	keepalive_set(-1, 1000); /* what fails is no error */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_set) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
