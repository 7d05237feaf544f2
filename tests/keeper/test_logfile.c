/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proxy/logfile.h"

#define MAX_BYTES 65536

static char path[32];
static int dir;

static int setup(void **state)
{
	(void) state;
	strcpy(path, "/tmp/test_logfile.XXXXXX");
	assert_non_null(mkdtemp(path));
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	static const char *const names[] = { "a.log", "a.log.1", "b.log", "c.log", "d.log", "d.txt" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void) unlinkat(dir, names[i], 0);
	close(dir);
	return rmdir(path);
}

static off_t size_of(const char *name)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : st.st_size;
}

static void make(const char *name, off_t size, time_t mtime)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(futimens(fd, (const struct timespec[]){ { mtime, 0 }, { mtime, 0 } }), 0);
	close(fd);
}

static void test_appends(void **state)
{
	(void) state;
	struct logfile log;
	struct error err;
	make("a.log", 10, 1);
	assert_int_equal(logfile_open(&log, dir, "a", MAX_BYTES, &err), 0);
	assert_int_equal(write(log.fd, "line\n", 5), 5);
	assert_int_equal(size_of("a.log"), 15);
	assert_int_equal(logfile_rotate(&log, &err), 0); /* there is room */
	close(log.fd);
}

static void test_rotates(void **state)
{
	(void) state;
	struct logfile log;
	struct error err;
	assert_int_equal(logfile_open(&log, dir, "a", MAX_BYTES, &err), 0);
	assert_int_equal(ftruncate(log.fd, MAX_BYTES - 100), 0);
	assert_int_equal(logfile_rotate(&log, &err), 1);
	assert_int_equal(size_of("a.log"), 0);
	assert_int_equal(size_of("a.log.1"), MAX_BYTES - 100);
	assert_int_equal(fcntl(log.fd, F_GETFL) & O_APPEND, O_APPEND);
	close(log.fd);
}

static void test_full_from_before(void **state)
{
	(void) state;
	struct logfile log;
	struct error err;
	make("a.log", MAX_BYTES, 1);
	make("a.log.1", 3, 1);
	assert_int_equal(logfile_open(&log, dir, "a", MAX_BYTES, &err), 0);
	assert_int_equal(size_of("a.log"), 0);
	assert_int_equal(size_of("a.log.1"), MAX_BYTES);
	close(log.fd);
}

static void test_not_a_file(void **state)
{
	(void) state;
	struct logfile log;
	struct error err;
	assert_int_equal(symlinkat("/etc/passwd", dir, "a.log"), 0);
	assert_int_equal(logfile_open(&log, dir, "a", MAX_BYTES, &err), -ELOOP);
	assert_int_equal(unlinkat(dir, "a.log", 0), 0);
	assert_int_equal(mkfifoat(dir, "a.log", 0600), 0);
	assert_true(logfile_open(&log, dir, "a", MAX_BYTES, &err) < 0);
}

static void test_prunes_the_oldest_that_nobody_uses(void **state)
{
	(void) state;
	struct logfile used;
	struct error err;
	assert_int_equal(logfile_open(&used, dir, "a", MAX_BYTES, &err), 0);
	make("a.log", 1000, 1); /* the oldest, and open */
	make("b.log", 1000, 2);
	make("c.log", 1000, 3);
	make("d.log", 1000, 4);
	make("d.txt", 1000, 0); /* not ours */

	logfile_prune(dir, 4000);
	assert_int_equal(size_of("b.log"), 1000);
	logfile_prune(dir, 2500);
	assert_int_equal(size_of("a.log"), 1000);
	assert_int_equal(size_of("b.log"), -1);
	assert_int_equal(size_of("c.log"), -1);
	assert_int_equal(size_of("d.log"), 1000);
	assert_int_equal(size_of("d.txt"), 1000);
	close(used.fd);
}

/* More than one look removes, of which the oldest are in use: all that is too much goes, and those stay. */
static void test_prunes_behind_those_in_use(void **state)
{
	(void) state;
	enum { USED = 40, UNUSED = 40 };
	struct logfile used[USED];
	struct error err;
	char id[16], name[32];
	for (int i = 0; i < USED + UNUSED; i++) {
		(void) snprintf(id, sizeof(id), "x%d", i);
		(void) snprintf(name, sizeof(name), "%s.log", id);
		if (i < USED)
			assert_int_equal(logfile_open(&used[i], dir, id, MAX_BYTES, &err), 0);
		make(name, 1000, 1 + i);
	}
	logfile_prune(dir, 1000 * USED); /* a part, and the rest the next time */
	logfile_prune(dir, 1000 * USED);
	for (int i = 0; i < USED + UNUSED; i++) {
		(void) snprintf(name, sizeof(name), "x%d.log", i);
		assert_int_equal(size_of(name), i < USED ? 1000 : -1);
		if (i < USED)
			close(used[i].fd);
		(void) unlinkat(dir, name, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_appends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_from_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prunes_the_oldest_that_nobody_uses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prunes_behind_those_in_use, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
