/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/netns/fixture.h"

static void test_open_tells_own_from_other(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int own = -1;
	struct error err;

	assert_int_equal(netns_open(getpid(), &own, &err), 0);
	assert_int_equal(netns_is_own(own, &err), 1);
	assert_int_equal(netns_is_own(fixture->host, &err), 1);
	assert_int_equal(netns_is_own(fixture->container, &err), 0);
	assert_int_equal(netns_is_own(fixture->machine, &err), 0);
	assert_true(fcntl(own, F_GETFD) & FD_CLOEXEC);
}

static void test_open_refuses_what_is_none(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int mnt = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct error err;
	int fd = -7;

	(void) state;
	assert_int_equal(netns_is_own(null, &err), -EINVAL);
	assert_int_equal(netns_is_own(mnt, &err), -EINVAL);
	assert_int_equal(netns_open(0x7fffffff, &fd, &err), -ENOENT);
	assert_int_equal(fd, -7);
}

static void test_cookie_names_one_namespace(void **state)
{
	const struct fixture *fixture = *state;
	struct error err;
	uint64_t host = 0, container = 0, again = 0;

	assert_int_equal(netns_cookie(fixture->host, &host, &err), 0);
	assert_int_equal(netns_cookie(fixture->container, &container, &err), 0);
	assert_int_equal(netns_cookie(fixture->container, &again, &err), 0);
	assert_true(host != container);
	assert_true(container == again);
	assert_true(container != 0);
}

/* An inode number comes back at once, a cookie never. */
static void test_cookie_is_not_used_again(void **state)
{
	uint64_t last = 0;
	struct error err;

	(void) state;
	for (int i = 0; i < 10; i++) {
		_cleanup_close_ int fd = fixture_netns();
		uint64_t cookie = 0;
		assert_int_equal(netns_cookie(fd, &cookie, &err), 0);
		assert_true(cookie > last);
		last = cookie;
	}
}

static int is_inside(void *arg, struct error *err)
{
	return netns_is_own(*(const int *) arg, err) == 1 ? 42 : 0;
}

static void test_call_goes_and_comes_back(void **state)
{
	struct fixture *fixture = *state;
	struct error err;

	assert_int_equal(netns_call(fixture->container, is_inside, &fixture->container, &err), 42);
	assert_int_equal(netns_is_own(fixture->host, &err), 1);
	assert_int_equal(netns_call(-1, is_inside, &fixture->container, &err), -EBADF);
	assert_int_equal(netns_is_own(fixture->host, &err), 1);
}

static int is_new(void *arg, struct error *err)
{
	const struct fixture *fixture = arg;
	return netns_is_own(fixture->host, err) == 0 && netns_is_own(fixture->container, err) == 0 ? 42 : 0;
}

static void test_call_fresh_is_somewhere_else(void **state)
{
	struct fixture *fixture = *state;
	struct error err;

	assert_int_equal(netns_call_fresh(is_new, fixture, &err), 42);
	assert_int_equal(netns_is_own(fixture->host, &err), 1);
}

/* Root of a user namespace may go to what that owns, and could not come back to a network of the host's. */
static int as_root_of_a_user_namespace(struct fixture *fixture)
{
	struct error err;
	if (unshare(CLONE_NEWUSER) < 0) /* nobody by name, but with every capability in it */
		return 4;
	if (netns_call_fresh(is_new, fixture, &err) != 42 || netns_is_own(fixture->host, &err) != 1)
		return 1;
	if (netns_call(fixture->container, is_inside, &fixture->container, &err) != -EPERM)
		return 2;
	return netns_is_own(fixture->host, &err) == 1 ? 0 : 3;
}

static void test_root_of_a_user_namespace_stays_on_the_host(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(as_root_of_a_user_namespace(fixture));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_socket_belongs_to_the_namespace(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int fd = -1;
	struct error err;
	struct stat there, of;

	assert_int_equal(netns_socket(fixture->container, AF_INET, SOCK_STREAM, 0, &fd, &err), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	_cleanup_close_ int netns = fixture_netns_of(fd);
	assert_int_equal(fstat(netns, &of), 0);
	assert_int_equal(fstat(fixture->container, &there), 0);
	assert_true(of.st_ino == there.st_ino);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open_tells_own_from_other),
		TEST(test_open_refuses_what_is_none),
		TEST(test_cookie_names_one_namespace),
		TEST(test_cookie_is_not_used_again),
		TEST(test_call_goes_and_comes_back),
		TEST(test_call_fresh_is_somewhere_else),
		TEST(test_root_of_a_user_namespace_stays_on_the_host),
		TEST(test_socket_belongs_to_the_namespace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
