/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/idmap.h"

/* As the kernel writes them. */
#define INITIAL "         0          0 4294967295\n"
#define ROOTLESS "         0       1000          1\n         1     200000      65536\n"

static struct idmap map_of(const char *text)
{
	struct idmap map;
	struct error err;
	assert_int_equal(idmap_parse(text, &map, &err), 0);
	return map;
}

static void who_is_who(void **state)
{
	(void) state;
	struct idmap map = map_of(ROOTLESS);
	uint32_t id = 7;
	assert_true(idmap_outer(&map, 0, &id));
	assert_int_equal(id, 1000);
	assert_true(idmap_outer(&map, 1, &id));
	assert_int_equal(id, 200000);
	assert_true(idmap_outer(&map, 65536, &id));
	assert_int_equal(id, 265535);
	assert_false(idmap_outer(&map, 65537, &id));
	assert_int_equal(id, 265535);

	map = map_of(INITIAL);
	assert_true(idmap_outer(&map, 0x70000000u + 4194304u, &id));
	assert_int_equal(id, 0x70000000u + 4194304u);
	assert_false(idmap_outer(&map, UINT32_MAX, &id));
}

static void highest_of(const char *uids, const char *gids, long expected)
{
	struct idmap a = map_of(uids), b = map_of(gids);
	uint32_t id = 7;
	assert_int_equal(idmap_highest(&a, &b, &id), expected >= 0);
	assert_int_equal(id, expected >= 0 ? expected : 7);
}

static void the_highest_in_both(void **state)
{
	(void) state;
	highest_of(ROOTLESS, ROOTLESS, 65536);
	highest_of(INITIAL, INITIAL, UINT32_MAX - 1);
	highest_of("0 1000 1\n", ROOTLESS, 0);
	highest_of(ROOTLESS, "0 1000 1\n1 300000 1000\n", 1000);
	highest_of("0 1000 1\n1 200000 1000\n5000 300000 10\n", ROOTLESS, 5009);
	highest_of("5 1 5\n", "10 1 5\n", -1);
	highest_of("", "", -1);
}

static void no_maps(void **state)
{
	(void) state;
	static const char *const bad[] = { "0", "0 0", "0 0 x", "x", "0 0 0\n", "0 0 1 5\n", "4294967295 0 1\n",
		"0 4294967290 10\n", "99999999999 0 1\n", "0 0 1\n\n\nx" };
	struct idmap map;
	struct error err;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(idmap_parse(bad[i], &map, &err), -EINVAL);

	char many[(IDMAP_RANGES_MAX + 1) * 16] = "";
	for (unsigned i = 0; i <= IDMAP_RANGES_MAX; i++) {
		assert_int_equal(idmap_parse(many, &map, &err), 0);
		(void) snprintf(many + strlen(many), sizeof(many) - strlen(many), "%u %u 1\n", i, i);
	}
	assert_int_equal(idmap_parse(many, &map, &err), -EINVAL);
	assert_int_equal(idmap_read("/nowhere", &map, &err), -ENOENT);
	assert_int_equal(idmap_read("/proc/self/uid_map", &map, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_who),
		cmocka_unit_test(the_highest_in_both),
		cmocka_unit_test(no_maps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
