/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/rundir.h"
#include "tests/hook/cmocka_all.h"
#include "tests/hook/place.h"

#define KEY "00000000000000ab"

static int enter(void **state)
{
	*state = place_enter();
	return 0;
}

static int leave(void **state)
{
	place_leave(*state);
	return 0;
}

static void opens_only_a_directory_of_ours(void **state)
{
	char path[256];
	_cleanup_close_ int fd = -1;
	(void) snprintf(path, sizeof(path), "%s/a/b/run", (char *) *state);
	assert_int_equal(rundir_open(path, &fd, NULL), 0);
	struct stat st;
	assert_return_code(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	/* planted: a symlink, somebody else's, one that others write to, a file */
	char planted[300];
	struct error err;
	int none = -7;
	(void) snprintf(planted, sizeof(planted), "%s/link", (char *) *state);
	assert_return_code(symlink(path, planted), 0);
	assert_true(rundir_open(planted, &none, &err) < 0);

	(void) snprintf(planted, sizeof(planted), "%s/theirs", (char *) *state);
	assert_return_code(mkdir(planted, 0700), 0);
	assert_return_code(chown(planted, 65534, 65534), 0);
	assert_int_equal(rundir_open(planted, &none, &err), -EPERM);

	(void) snprintf(planted, sizeof(planted), "%s/open", (char *) *state);
	assert_return_code(mkdir(planted, 0700), 0);
	assert_return_code(chmod(planted, 0777), 0);
	assert_int_equal(rundir_open(planted, &none, &err), -EPERM);

	(void) snprintf(planted, sizeof(planted), "%s/file", (char *) *state);
	place_write("file", "");
	assert_true(rundir_open(planted, &none, &err) < 0);
	assert_int_equal(rundir_open("run", &none, &err), -EINVAL);
	assert_int_equal(none, -7);
}

/* A proxy's user has to get through to its home; what was there before keeps its mode. */
static void makes_parents_that_others_can_pass(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = { { "there", 0750 }, { "there/a", 0755 }, { "there/a/b", 0755 }, { "there/a/b/c", 0700 } };
	char path[256];
	struct stat st;
	_cleanup_close_ int fd = -1;

	assert_return_code(mkdir("there", 0750), 0);
	(void) snprintf(path, sizeof(path), "%s/there/a/b/c", (char *) *state);
	mode_t before = umask(077);
	int r = rundir_open(path, &fd, NULL);
	(void) umask(before);
	assert_int_equal(r, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_return_code(stat(rows[i].name, &st), 0);
		assert_int_equal(st.st_mode & 07777, rows[i].mode);
	}
}

static void writes_the_link_into_the_lock(void **state)
{
	_cleanup_close_ int dir = -1, lock = -1;
	assert_int_equal(rundir_open(*state, &dir, NULL), 0);
	assert_int_equal(rundir_lock(dir, KEY, &lock, NULL), 0);

	struct rundir_link in = { .kind = LINK_VETH, .port = 65535, .keeper = 4194303 }, out;
	assert_int_equal(rundir_read_link(lock, &out, NULL), -ENOENT);
	(void) inet_pton(AF_INET, "255.255.255.254", &in.proxy);
	(void) inet_pton(AF_INET, "255.255.255.255", &in.container);
	assert_int_equal(rundir_write_link(lock, &in, NULL), 0);
	in.keeper = 7; /* shorter: nothing of the longer text may stay */
	assert_int_equal(rundir_write_link(lock, &in, NULL), 0);
	assert_int_equal(rundir_read_link(lock, &out, NULL), 0);
	assert_memory_equal(&in, &out, sizeof(in));
}

/* A lock's file loses its name with the keeper: whoever waited for it must end up with the file that has the name. */
static void locks_the_file_that_has_the_name(void **state)
{
	_cleanup_close_ int dir = -1, first = -1;
	assert_int_equal(rundir_open(*state, &dir, NULL), 0);
	assert_int_equal(rundir_lock(dir, KEY, &first, NULL), 0);

	int ends[2];
	assert_return_code(pipe(ends), 0);
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0) {
		(void) !write(ends[1], "x", 1);
		int second = -1;
		struct stat ours, named;
		if (rundir_lock(dir, KEY, &second, NULL) < 0 || fstat(second, &ours) < 0 ||
			fstatat(dir, KEY ".lock", &named, 0) < 0)
			_exit(2);
		_exit(ours.st_ino == named.st_ino ? 0 : 3);
	}
	char x;
	assert_int_equal(read(ends[0], &x, 1), 1);
	rundir_remove_key(dir, KEY);
	assert_return_code(flock(first, LOCK_UN), 0);

	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opens_only_a_directory_of_ours, enter, leave),
		cmocka_unit_test_setup_teardown(makes_parents_that_others_can_pass, enter, leave),
		cmocka_unit_test_setup_teardown(writes_the_link_into_the_lock, enter, leave),
		cmocka_unit_test_setup_teardown(locks_the_file_that_has_the_name, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
