/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/scoreboard.h"

#define SLOTS 3

static struct scoreboard *board;
static int board_fd;

static int open_board(void **state)
{
	struct error err;
	(void) state;
	return scoreboard_create(SLOTS, &board_fd, &board, &err);
}

static int close_board(void **state)
{
	(void) state;
	scoreboard_free(board, SLOTS);
	close(board_fd);
	return 0;
}

static void expect_host(uint32_t i, char letter, size_t len)
{
	char name[HOST_NAME_MAX_LEN + 1], expected[HOST_NAME_MAX_LEN + 1];
	memset(expected, letter, len);
	assert_int_equal(scoreboard_copy_host(board, SLOTS, i, &board->slots[i], name), len);
	assert_memory_equal(name, expected, len);
	assert_int_equal(name[len], '\0');
}

/* Names of every length, each beside neighbours of every length. */
static void test_names(void **state)
{
	(void) state;
	uint32_t first = 0;
	struct scoreboard_slot *slots[SLOTS];
	char name[SLOTS][HOST_NAME_MAX_LEN + 1];
	for (unsigned i = 0; i < SLOTS; i++) {
		slots[i] = scoreboard_take(board, &first);
		assert_non_null(slots[i]);
		memset(name[i], 'a' + (char) i, HOST_NAME_MAX_LEN);
	}
	assert_null(scoreboard_take(board, &first));
	for (size_t len = 0; len <= HOST_NAME_MAX_LEN; len++) {
		size_t lens[SLOTS] = { HOST_NAME_MAX_LEN - len, len, HOST_NAME_MAX_LEN };
		for (unsigned i = 0; i < SLOTS; i++)
			scoreboard_set_host(board, slots[i], name[i], lens[i]);
		for (unsigned i = 0; i < SLOTS; i++)
			expect_host(i, (char) ('a' + i), lens[i]);
	}
}

/* A worker can write what it likes there. */
static void test_a_length_that_lies(void **state)
{
	(void) state;
	char name[HOST_NAME_MAX_LEN + 1];
	for (uint32_t i = 0; i < SLOTS; i++) {
		board->slots[i].host_len = UINT8_MAX;
		assert_int_equal(
			scoreboard_copy_host(board, SLOTS, i, &board->slots[i], name), HOST_NAME_MAX_LEN);
	}
}

/* The last name ends where the file does. */
static void test_all_lies_inside(void **state)
{
	(void) state;
	struct stat st;
	assert_return_code(fstat(board_fd, &st), errno);
	assert_int_equal(st.st_size,
		sizeof(*board) + SLOTS * (sizeof(struct scoreboard_slot) + HOST_NAME_MAX_LEN - SCOREBOARD_NEAR_MAX));
}

static void test_slots_are_taken_from_below(void **state)
{
	(void) state;
	uint32_t first = 0;
	struct scoreboard_slot *a = scoreboard_take(board, &first), *b = scoreboard_take(board, &first);
	assert_ptr_equal(a, &board->slots[0]);
	assert_ptr_equal(b, &board->slots[1]);
	b->port = 443;
	scoreboard_release(board, a, &first);
	assert_ptr_equal(scoreboard_take(board, &first), a);
	scoreboard_release(board, b, &first);
	b = scoreboard_take(board, &first);
	assert_ptr_equal(b, &board->slots[1]);
	assert_int_equal(b->port, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_a_length_that_lies),
		TEST(test_all_lies_inside),
		TEST(test_slots_are_taken_from_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
