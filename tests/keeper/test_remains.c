/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oci/policy.h"
#include "proxy/remains.h"

#define SLOTS 8
#define POLICY "{\"allow\": [\"listed.example\"]}"

struct left {
	struct scoreboard *board;
	struct image *image;
	int board_fd, log;
	uint32_t first;
};

static int setup(void **state)
{
	static struct left left;
	struct error err;
	left = (struct left){ .log = memfd_create("log", MFD_CLOEXEC) };
	*state = &left;
	return policy_compile(
		       "policy.json", "test", POLICY, strlen(POLICY), IMAGE_ON_FAILURE_CLOSED, &left.image, &err) ||
	       scoreboard_create(SLOTS, &left.board_fd, &left.board, &err);
}

static int teardown(void **state)
{
	struct left *left = *state;
	scoreboard_free(left->board, SLOTS);
	free(left->image);
	close(left->board_fd);
	close(left->log);
	return 0;
}

static struct scoreboard_slot *open_one(struct left *left, const char *name)
{
	struct scoreboard_slot *slot = scoreboard_take(left->board, &left->first);
	assert_non_null(slot);
	scoreboard_set_host(left->board, slot, name, strlen(name));
	slot->port = 443;
	slot->dialled = (struct address){ AF_INET, { 192, 0, 2, 1 } };
	atomic_fetch_add(&left->board->counters.accepted, 1);
	atomic_fetch_add(&left->board->counters.open, 1);
	return slot;
}

static size_t settle(struct left *left, char lines[16384])
{
	remains_write(left->board, SLOTS, left->image, "c1", REASON_WORKER_DIED, left->log);
	ssize_t len = pread(left->log, lines, 16383, 0);
	assert_true(len >= 0);
	lines[len] = '\0';
	size_t n = 0;
	for (ssize_t i = 0; i < len; i++)
		n += lines[i] == '\n';
	return n;
}

/* What was accepted is allowed, denied or failed, once each. */
static void test_the_counters_add_up(void **state)
{
	struct left *left = *state;
	const struct scoreboard_counters *counters = &left->board->counters;
	char lines[16384];

	struct scoreboard_slot *tunnel = open_one(left, "listed.example");
	tunnel->bytes_up = 3;
	tunnel->bytes_down = 5;
	atomic_fetch_add(&left->board->counters.allowed, 1);
	scoreboard_mark(tunnel, SCOREBOARD_COUNTED);
	(void) open_one(left, "dialled.example");
	scoreboard_mark(open_one(left, "kept.example"), SCOREBOARD_BETWEEN);
	atomic_fetch_add(&left->board->counters.allowed, 1);

	assert_int_equal(settle(left, lines), 2);
	assert_non_null(strstr(
		lines, "\"host\":\"listed.example\",\"port\":443,\"address\":\"192.0.2.1\",\"verdict\":\"allowed\""));
	assert_non_null(strstr(
		lines, "\"host\":\"dialled.example\",\"port\":443,\"address\":\"192.0.2.1\",\"verdict\":\"failed\""));
	assert_null(strstr(lines, "kept.example"));
	assert_int_equal(counters->accepted, counters->allowed + counters->denied + counters->failed);
	assert_int_equal(counters->open, 0);
	assert_int_equal(counters->bytes_up, 3);
	assert_int_equal(counters->bytes_down, 5);
	assert_int_equal(counters->reasons[REASON_WORKER_DIED], 2);

	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(left->board->slots[i].used, SCOREBOARD_FREE);
	assert_int_equal(settle(left, lines), 2); /* nothing is left for another time */
}

/* A worker can write what it likes there. */
static void test_a_board_of_lies(void **state)
{
	struct left *left = *state;
	char lines[16384];
	for (uint32_t i = 0; i < SLOTS; i++) {
		memset(&left->board->slots[i], 0xff, sizeof(left->board->slots[i]));
		atomic_store(&left->board->slots[i].used, UINT32_MAX - i);
	}
	left->board->n_slots = UINT32_MAX;
	assert_int_equal(settle(left, lines), SLOTS);
	assert_int_equal(left->board->counters.failed, SLOTS);
	for (const char *p = lines; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_counters_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_board_of_lies, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
