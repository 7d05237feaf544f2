/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/builtin.h"
#include "proxy/keeper.h"

static int setup(void **state)
{
	(void) state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (fd != KEEPER_FD_LISTENER) {
		assert_int_equal(dup3(fd, KEEPER_FD_LISTENER, O_CLOEXEC), KEEPER_FD_LISTENER);
		close(fd);
	}
	return 0;
}

/* Between its end and the keeper's notice of it: the next worker is started with the listener. */
static void test_listener_for_a_worker_that_has_died(void **state)
{
	(void) state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	struct builtin builtin = BUILTIN_INIT;
	builtin.channel = ends[0];
	close(ends[1]);
	assert_int_equal(builtin_listen(&builtin), 0);
	close(ends[0]);
}

/* That one is another matter: it lives, and would never get it. */
static void test_listener_for_a_worker_that_does_not_read(void **state)
{
	(void) state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	struct builtin builtin = BUILTIN_INIT;
	builtin.channel = ends[0];
	while (send(ends[0], "x", 1, MSG_NOSIGNAL) == 1)
		;
	assert_int_equal(builtin_listen(&builtin), -EAGAIN);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listener_for_a_worker_that_has_died),
		cmocka_unit_test(test_listener_for_a_worker_that_does_not_read),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
