/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/imageversion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static const struct stat file = { .st_dev = 1, .st_ino = 2, .st_size = 3, .st_mtim = { 4, 5 }, .st_ctim = { 6, 7 } };

/* Whatever the result depends on is in the name: a version that another program found wrong is compiled again. */
static void test_names(void **state)
{
	(void) state;
	char open[IMAGEVERSION_NAME_SIZE], closed[IMAGEVERSION_NAME_SIZE], later[IMAGEVERSION_NAME_SIZE];
	struct stat touched = file;
	touched.st_ctim.tv_nsec++;
	imageversion_name(&file, IMAGE_ON_FAILURE_OPEN, open);
	imageversion_name(&file, IMAGE_ON_FAILURE_CLOSED, closed);
	imageversion_name(&touched, IMAGE_ON_FAILURE_OPEN, later);
	assert_string_not_equal(open, closed);
	assert_string_not_equal(open, later);
	assert_non_null(strstr(open, "-" VERSION "-"));
	assert_null(strchr(open, '/'));
}

static void test_failures(void **state)
{
	(void) state;
	char directory[] = "/tmp/test_imageversion.XXXXXX";
	assert_non_null(mkdtemp(directory));
	_cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char one[IMAGEVERSION_NAME_SIZE], other[IMAGEVERSION_NAME_SIZE];
	imageversion_name(&file, IMAGE_ON_FAILURE_OPEN, one);
	imageversion_name(&file, IMAGE_ON_FAILURE_CLOSED, other);

	struct error err, why;
	(void) error_say(&why, EINVAL, "FILE:1:2: %%s: wrong");
	assert_int_equal(imageversion_read_failure(dir, one, &err), 0);
	imageversion_write_failure(dir, one, &why);
	assert_int_equal(imageversion_read_failure(dir, one, &err), -EINVAL);
	assert_string_equal(err.msg, "FILE:1:2: %s: wrong");
	assert_int_equal(imageversion_read_failure(dir, other, &err), 0);
	int fd = -1;
	assert_int_equal(imageversion_open(dir, one, "p", &fd, &err), -ENOENT);

	char name[IMAGEVERSION_NAME_SIZE + 8];
	(void) snprintf(name, sizeof(name), "%s.error", one);
	assert_int_equal(unlinkat(dir, name, 0), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_settles(void **state)
{
	(void) state;
	struct stat st = file;
	assert_int_equal(imageversion_unsettled_ms(&st), 0);
	(void) clock_gettime(CLOCK_REALTIME, &st.st_ctim);
	st.st_ctim.tv_sec += 3600; /* the clock was set back */
	assert_int_equal(imageversion_unsettled_ms(&st), 0);
	int left;
	do {
		(void) clock_gettime(CLOCK_REALTIME, &st.st_ctim);
		left = imageversion_unsettled_ms(&st);
	} while (left == 0); /* descheduled in between */
	assert_in_range(left, 1, STAMP_SETTLED_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_settles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
