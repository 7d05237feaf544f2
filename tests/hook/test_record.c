/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/process.h"
#include "hook/record.h"
#include "tests/hook/cmocka_all.h"
#include "tests/hook/place.h"

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

static struct record sample(const char *id, pid_t pid)
{
	struct record record = {
		.policy = "web",
		.fingerprint = "0123456789abcdef",
		.key = "00000000000000ab",
		.state = RECORD_OPEN,
		.pid = pid,
		.since = 1764000000,
		.link = LINK_VETH,
		.port = 3128,
		.log = "c0",
		.names = { .namespace = "shop", .pod = "web-1", .container = "app" },
		.reason = "a \"reason\" \\ with\nlines",
	};
	(void) snprintf(record.id, sizeof(record.id), "%s", id);
	(void) inet_pton(AF_INET, "198.18.0.2", &record.proxy);
	assert_int_equal(process_start_time(pid, &record.start_time, NULL), 0);
	return record;
}

static void reads_what_it_wrote(void **state)
{
	(void) state;
	struct record in = sample("c1", getpid()), out;
	assert_int_equal(record_write(dir, &in, NULL), 0);
	assert_int_equal(record_read(dir, "c1", &out, NULL), 0);
	assert_string_equal(out.id, in.id);
	assert_string_equal(out.policy, in.policy);
	assert_string_equal(out.fingerprint, in.fingerprint);
	assert_string_equal(out.key, in.key);
	assert_int_equal(out.state, in.state);
	assert_int_equal(out.pid, in.pid);
	assert_true(out.start_time == in.start_time);
	assert_true(out.since == in.since);
	assert_int_equal(out.link, in.link);
	assert_int_equal(out.proxy.s_addr, in.proxy.s_addr);
	assert_int_equal(out.port, in.port);
	assert_string_equal(out.log, in.log);
	assert_memory_equal(&out.names, &in.names, sizeof(in.names));
	assert_string_equal(out.reason, in.reason);
	assert_true(record_alive(&out));

	record_remove(dir, "c1");
	assert_int_equal(record_read(dir, "c1", &out, NULL), -ENOENT);
}

static void refuses_what_is_no_record(void **state)
{
	(void) state;
	struct record out;
	place_write("a.json", "");
	assert_int_equal(record_read(dir, "a", &out, NULL), -EINVAL);
	place_write("a.json", "{}");
	assert_int_equal(record_read(dir, "a", &out, NULL), -EINVAL);
	assert_return_code(symlink("/etc/passwd", "b.json"), 0);
	assert_int_equal(record_read(dir, "b", &out, NULL), -ELOOP);
}

static pid_t child(void)
{
	pid_t pid = fork();
	assert_return_code(pid, 0);
	if (pid == 0) {
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void reserves_once_for_the_living(void **state)
{
	(void) state;
	pid_t other = child();
	struct record theirs = sample("c1", other), ours = sample("c1", getpid()), again;
	theirs.state = RECORD_GUARDED;
	assert_int_equal(record_reserve(dir, &theirs, NULL), 0);

	/* the same init: called before */
	again = sample("c1", other);
	again.state = RECORD_STARTING;
	assert_int_equal(record_reserve(dir, &again, NULL), 1);
	assert_int_equal(again.state, RECORD_GUARDED);

	/* another one, while that one lives, and after */
	struct error err;
	assert_int_equal(record_reserve(dir, &ours, &err), -EEXIST);
	assert_return_code(kill(other, SIGKILL), 0);
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_int_equal(record_reserve(dir, &ours, &err), 0);
	assert_int_equal(record_read(dir, "c1", &again, NULL), 0);
	assert_int_equal(again.pid, getpid());
}

static int count(const struct record *record, void *arg)
{
	assert_int_equal(record->pid, getpid());
	return ++*(int *) arg == 3 ? 42 : 0;
}

static void visits_each_readable_one(void **state)
{
	(void) state;
	int n = 0;
	for (const char *id = "abc"; *id; id++) {
		struct record record = sample((char[]){ *id, '\0' }, getpid());
		assert_int_equal(record_write(dir, &record, NULL), 0);
	}
	place_write("bad.json", "{");
	place_write("00000000000000ab.lock", "");
	assert_int_equal(record_each(dir, count, &n, NULL), 42);
	assert_int_equal(n, 3);
	record_remove(dir, "b");
	n = 0;
	assert_int_equal(record_each(dir, count, &n, NULL), 0);
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_what_it_wrote, enter, leave),
		cmocka_unit_test_setup_teardown(refuses_what_is_no_record, enter, leave),
		cmocka_unit_test_setup_teardown(reserves_once_for_the_living, enter, leave),
		cmocka_unit_test_setup_teardown(visits_each_readable_one, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
