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
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/keepalive.h"

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);
	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void test_what_is_set(void **state)
{
	(void) state;
	static const struct {
		uint32_t idle_ms;
		int gone_ms;
	} rows[] = { { 1000, 1000 }, { 600000, 600000 }, { 604800000, 900000 } };
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
		keepalive_set(fd, rows[i].idle_ms);
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
