/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/process.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "hook/sweep.h"
#include "tests/hook/cmocka_all.h"
#include "tests/hook/place.h"

#define KEY "00000000000000ab"

static int dir = -1;

static int enter(void **state)
{
	*state = place_enter();
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int leave(void **state)
{
	close(dir);
	place_leave(*state);
	return 0;
}

static bool there(const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A process that has ended: its number, and a start time that no later one of that number has. */
static pid_t dead(void)
{
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

/* One that nobody has waited for. */
static pid_t zombie(void)
{
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	assert_return_code(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
	return pid;
}

static int listen_on_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = KEY ".sock" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_return_code(fd, 0);
	assert_return_code(bind(fd, (const struct sockaddr *) &addr, sizeof(addr)), 0);
	assert_return_code(listen(fd, 1), 0);
	return fd;
}

static void write_lock(pid_t keeper)
{
	_cleanup_close_ int lock = -1;
	const struct rundir_link link = { .kind = LINK_VETH, .keeper = keeper };
	assert_int_equal(rundir_lock(dir, KEY, &lock, NULL), 0);
	assert_int_equal(rundir_write_link(lock, &link, NULL), 0);
}

static void write_record(const char *id, enum record_state as, pid_t pid, uint64_t start_time)
{
	struct record record = { .policy = "web", .key = KEY, .state = as, .pid = pid, .start_time = start_time };
	(void) snprintf(record.id, sizeof(record.id), "%s", id);
	assert_int_equal(record_write(dir, &record, NULL), 0);
}

static void removes_what_a_killed_keeper_left(void **state)
{
	(void) state;
	close(listen_on_socket());
	write_lock(dead());
	sweep_run(dir);
	assert_false(there(KEY ".lock"));
	assert_false(there(KEY ".sock"));
}

static void removes_what_a_zombie_left(void **state)
{
	(void) state;
	pid_t pid = zombie();
	uint64_t start;
	assert_int_equal(process_start_time(pid, &start, NULL), 0);
	close(listen_on_socket());
	write_lock(pid);
	write_record("guarded", RECORD_GUARDED, pid, start);
	sweep_run(dir);
	assert_false(there("guarded.json"));
	assert_false(there(KEY ".lock"));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void leaves_a_keeper_alone(void **state)
{
	(void) state;
	int listener = listen_on_socket();
	write_lock(dead()); /* even where its number is wrong: it answers */
	sweep_run(dir);
	assert_true(there(KEY ".lock"));
	assert_true(there(KEY ".sock"));
	close(listener);
	write_lock(getpid());
	sweep_run(dir);
	assert_true(there(KEY ".lock"));
}

static void leaves_a_hook_at_work_alone(void **state)
{
	(void) state;
	_cleanup_close_ int lock = -1;
	assert_int_equal(rundir_lock(dir, KEY, &lock, NULL), 0);
	sweep_run(dir);
	assert_true(there(KEY ".lock"));
	assert_return_code(flock(lock, LOCK_UN), 0);
	sweep_run(dir);
	assert_false(there(KEY ".lock"));
}

static void removes_a_dead_hooks_drafts(void **state)
{
	(void) state;
	place_write(".c1.new", "{");
	assert_return_code(mkdir(".root-1", 0500), 0);
	_cleanup_close_ int lock = -1;
	assert_int_equal(rundir_lock_drafts(dir, true, &lock, NULL), 0);
	sweep_run(dir); /* a live one's */
	assert_true(there(".c1.new"));
	assert_true(there(".root-1"));
	cleanup_close(&lock);
	lock = -1;
	sweep_run(dir);
	assert_false(there(".c1.new"));
	assert_false(there(".root-1"));
}

static void removes_records_of_the_dead(void **state)
{
	(void) state;
	uint64_t start;
	assert_int_equal(process_start_time(getpid(), &start, NULL), 0);
	write_record("open-dead", RECORD_OPEN, dead(), 1);
	write_record("guarded-dead", RECORD_GUARDED, dead(), 1);
	write_record("open-alive", RECORD_OPEN, getpid(), start);
	write_record("recycled", RECORD_OPEN, getpid(), start - 1);
	sweep_run(dir);
	assert_false(there("open-dead.json"));
	assert_false(there("guarded-dead.json"));
	assert_true(there("open-alive.json"));
	assert_false(there("recycled.json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(removes_what_a_killed_keeper_left, enter, leave),
		cmocka_unit_test_setup_teardown(removes_what_a_zombie_left, enter, leave),
		cmocka_unit_test_setup_teardown(leaves_a_keeper_alone, enter, leave),
		cmocka_unit_test_setup_teardown(leaves_a_hook_at_work_alone, enter, leave),
		cmocka_unit_test_setup_teardown(removes_a_dead_hooks_drafts, enter, leave),
		cmocka_unit_test_setup_teardown(removes_records_of_the_dead, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
