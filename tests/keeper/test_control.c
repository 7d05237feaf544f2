/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the control protocol over a socket pair: answers lie ready before the question is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "proxy/control.h"

#define TIMEOUT_MS 5000

struct pair {
	int hook;
	int keeper;
};

static int setup(void **state)
{
	struct pair *pair = malloc(sizeof(*pair));
	int ends[2];
	assert_non_null(pair);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	*pair = (struct pair){ .hook = ends[0], .keeper = ends[1] };
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;
	cleanup_close(&pair->hook);
	cleanup_close(&pair->keeper);
	free(pair);
	return 0;
}

static void test_join_reaches_the_keeper(void **state)
{
	const struct pair *pair = *state;
	struct error err;
	for (unsigned other = 0; other < 2; other++) {
		bool other_gate = !other;
		assert_int_equal(control_answer_join(pair->keeper, other), 0);
		assert_int_equal(control_join(pair->hook, "c1", 0, 1, TIMEOUT_MS, &other_gate, &err), 0);
		assert_int_equal(other_gate, other);
	}

	struct control_message message;
	int fds[IO_FDS_MAX];
	size_t n;
	assert_int_equal(control_receive(pair->keeper, &message, fds, &n), 0);
	assert_int_equal(message.type, CONTROL_JOIN);
	assert_string_equal(message.text, "c1");
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
}

static void test_error_comes_through(void **state)
{
	const struct pair *pair = *state;
	struct error said, got;
	(void) error_say(&said, EEXIST, "another policy");
	(void) error_close(&said);
	assert_int_equal(control_answer_error(pair->keeper, &said), 0);
	assert_int_equal(control_probe(pair->hook, 1234, TIMEOUT_MS, &got), -EEXIST);
	assert_string_equal(got.msg, "another policy");
	assert_true(got.closed);

	(void) error_say(&said, EIO, "%0900d", 1); /* longer than an error's text, which a message's can hold */
	assert_int_equal(control_answer_error(pair->keeper, &said), 0);
	assert_int_equal(control_commit(pair->hook, TIMEOUT_MS, &got), -EIO);
	assert_int_equal(strlen(got.msg), ERROR_MESSAGE_MAX - 1);
	assert_false(got.closed);
}

static void test_status(void **state)
{
	const struct pair *pair = *state;
	const struct control_status status = { .state = CONTROL_STATE_RUNNING, .lines_lost = 7 };
	struct control_status got;
	struct error err;
	assert_int_equal(control_answer_status(pair->keeper, &status), 0);
	assert_int_equal(control_status(pair->hook, TIMEOUT_MS, &got, &err), 0);
	assert_memory_equal(&got, &status, sizeof(got));
}

static void test_keeper_that_says_nothing(void **state)
{
	const struct pair *pair = *state;
	struct error err;
	assert_int_equal(control_leave(pair->hook, "c1", 10, &err), -ETIMEDOUT);
}

static void test_keeper_gone(void **state)
{
	struct pair *pair = *state;
	struct error err;
	close(TAKE_FD(pair->keeper));
	assert_int_equal(control_commit(pair->hook, TIMEOUT_MS, &err), -ECONNRESET);
	assert_int_equal(control_wait_ready(pair->hook, TIMEOUT_MS, &err), -ECONNRESET);
}

static void test_strange_answers(void **state)
{
	const struct pair *pair = *state;
	struct error err;
	assert_int_equal(control_answer(pair->keeper, CONTROL_READY), 0);
	assert_int_equal(control_commit(pair->hook, TIMEOUT_MS, &err), -EPROTO);
	assert_int_equal(io_send(pair->keeper, "short", 5, NULL, 0), 0);
	assert_int_equal(control_commit(pair->hook, TIMEOUT_MS, &err), -EPROTO);
}

static void test_strange_requests(void **state)
{
	const struct pair *pair = *state;
	const struct {
		struct control_message message;
		size_t len, n_fds;
	} requests[] = {
		{ { .type = CONTROL_COMMIT }, 5, 0 },
		{ { .type = CONTROL_COMMIT }, sizeof(struct control_message), 1 },
		{ { .type = CONTROL_JOIN, .text = "c1" }, sizeof(struct control_message), 0 },
		{ { .type = CONTROL_JOIN, .text = "c1" }, sizeof(struct control_message), 3 },
		{ { .type = CONTROL_JOIN, .text = "../c1" }, sizeof(struct control_message), 2 },
		{ { .type = CONTROL_LEAVE, .text = "" }, sizeof(struct control_message), 0 },
		{ { .type = CONTROL_PROBE, .value = 0 }, sizeof(struct control_message), 0 },
		{ { .type = CONTROL_PROBE, .value = 65536 }, sizeof(struct control_message), 0 },
		{ { .type = CONTROL_LISTEN }, sizeof(struct control_message), 0 },
		{ { .type = CONTROL_LISTEN }, sizeof(struct control_message), 2 },
		{ { .type = CONTROL_OK }, sizeof(struct control_message), 0 },
		{ { .type = 77 }, sizeof(struct control_message), 0 },
	};
	int free_fd = dup(0);
	close(free_fd);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct control_message got;
		int fds[IO_FDS_MAX];
		size_t n;
		assert_int_equal(io_send(pair->hook, &requests[i].message, requests[i].len, (const int[]){ 0, 1, 2 },
					 requests[i].n_fds),
			0);
		assert_int_equal(control_receive(pair->keeper, &got, fds, &n), -EPROTO);
		int next = dup(0);
		close(next);
		assert_int_equal(next, free_fd); /* what came with it is closed */
	}
}

static void test_ids(void **state)
{
	(void) state;
	char longest[CONTROL_ID_MAX + 2];
	memset(longest, 'a', sizeof(longest));
	longest[CONTROL_ID_MAX] = '\0';
	assert_true(control_id_valid(longest));
	longest[CONTROL_ID_MAX] = 'a';
	longest[CONTROL_ID_MAX + 1] = '\0';
	assert_false(control_id_valid(longest));

	static const char *const good[] = { "a", "0", "a.b", "a_b+c-d.e", "Z9" };
	static const char *const bad[] = { "", ".", "..", "a..b", "a/b", "-a", "_a", "a b", "a\n", "\xc3\xa4" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(control_id_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(control_id_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_join_reaches_the_keeper, setup, teardown),
		cmocka_unit_test_setup_teardown(test_error_comes_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeper_that_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeper_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strange_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strange_requests, setup, teardown),
		cmocka_unit_test(test_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
