/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/imagefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/policy.h"
#include "tests/oci/test.h"

static char directory[] = "/tmp/test_imagefile.XXXXXX";
static int dir;

static int set_up(void **state)
{
	(void) state;
	if (!mkdtemp(directory))
		return -1;
	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void) state;
	(void) unlinkat(dir, "a", 0);
	close(dir);
	return rmdir(directory); /* so that nothing may have been left */
}

static struct image *compile(const char *text)
{
	struct image *image = NULL;
	struct error err = { 0 };
	if (policy_compile("F", "name", text, strlen(text), IMAGE_ON_FAILURE_OPEN, &image, &err) < 0)
		fail_msg("%s", err.msg);
	return image;
}

static void write_good(const char *text)
{
	_cleanup_free_ struct image *image = compile(text);
	struct error err = { 0 };
	if (imagefile_write(dir, "a", image, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_round_trip(void **state)
{
	(void) state;
	write_good("{\"allow\":[\"a.test\"]}");
	struct error err = { 0 };
	_cleanup_close_ int old_fd = -1, fd = -1;
	assert_int_equal(imagefile_open(dir, "a", "the file", &old_fd, &err), 0);
	const struct image *old = NULL, *new = NULL;
	size_t old_len, len;
	assert_int_equal(imagefile_map(old_fd, &old, &old_len, &err), 0);
	assert_int_equal(old->n_allow, 1);
	assert_int_equal(old_len, old->size);
	assert_int_equal(image_digest(old), image_fingerprint(old));

	/* A new version takes the name; who has the old one keeps it, mapped or not. */
	write_good("{\"allow\":[\"a.test\",\"b.test\"]}");
	assert_int_equal(imagefile_open(dir, "a", "the file", &fd, &err), 0);
	assert_int_equal(imagefile_map(fd, &new, &len, &err), 0);
	assert_int_equal(new->n_allow, 2);
	assert_int_equal(old->n_allow, 1);
	assert_true(image_fingerprint(old) != image_fingerprint(new));
	(void) munmap((void *) (uintptr_t) old, old_len);
	assert_int_equal(imagefile_map(old_fd, &old, &old_len, &err), 0);
	assert_int_equal(old->n_allow, 1);
	(void) munmap((void *) (uintptr_t) old, old_len);
	(void) munmap((void *) (uintptr_t) new, len);
}

static void test_mode(void **state)
{
	(void) state;
	write_good("{}");
	struct stat st;
	assert_int_equal(fstatat(dir, "a", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0400);
}

static void expect_open(int code)
{
	struct error err = { 0 };
	int fd = -1;
	assert_int_equal(imagefile_open(dir, "a", "the file", &fd, &err), code);
	assert_int_equal(fd, -1);
	assert_memory_equal(err.msg, "the file: ", 10);
}

static void test_whose(void **state)
{
	(void) state;
	write_good("{}");
	assert_int_equal(fchmodat(dir, "a", 0620, 0), 0);
	expect_open(-EPERM);
	assert_int_equal(fchmodat(dir, "a", 0602, 0), 0);
	expect_open(-EPERM);
	if (geteuid() == 0) {
		assert_int_equal(fchmodat(dir, "a", 0600, 0), 0);
		assert_int_equal(fchownat(dir, "a", 12345, 0, 0), 0);
		expect_open(-EPERM);
	}
	assert_int_equal(unlinkat(dir, "a", 0), 0);
	expect_open(-ENOENT);
	assert_int_equal(symlinkat("/etc/hostname", dir, "a"), 0);
	expect_open(-ELOOP);
	assert_int_equal(unlinkat(dir, "a", 0), 0);
	assert_int_equal(mkfifoat(dir, "a", 0600), 0);
	expect_open(-EINVAL);
	assert_int_equal(unlinkat(dir, "a", 0), 0);
}

/* What is mapped must be an image, and nobody's to change. */
static void test_map(void **state)
{
	(void) state;
	_cleanup_free_ struct image *image = compile("{\"allow\":[\"a.test\"]}");
	const struct image *mapped = NULL;
	struct error err = { 0 };
	size_t len = 0;

	_cleanup_close_ int sealed = -1;
	assert_int_equal(io_memfd("image", image, image->size, &sealed, &err), 0);
	assert_int_equal(imagefile_map(sealed, &mapped, &len, &err), 0);
	assert_memory_equal(mapped, image, len);
	(void) munmap((void *) (uintptr_t) mapped, len);
	mapped = NULL;

	_cleanup_close_ int open_memfd = memfd_create("image", MFD_CLOEXEC);
	assert_int_equal(io_write_all(open_memfd, image, image->size, &err), 0);
	assert_int_equal(imagefile_map(open_memfd, &mapped, &len, &err), -EPERM);

	_cleanup_close_ int empty = -1, broken = -1;
	assert_int_equal(io_memfd("image", "", 0, &empty, &err), 0);
	assert_int_equal(imagefile_map(empty, &mapped, &len, &err), -EFBIG);
	image->magic++;
	assert_int_equal(io_memfd("image", image, image->size, &broken, &err), 0);
	assert_int_equal(imagefile_map(broken, &mapped, &len, &err), -EINVAL);
	assert_int_equal(imagefile_map(dir, &mapped, &len, &err), -EPERM);
	assert_null(mapped);

	/* cut in the middle of being written: never under its own name, but a check is cheap */
	_cleanup_close_ int fd = openat(dir, "a", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	image->magic--;
	assert_int_equal(io_write_all(fd, image, image->size - 1, &err), 0);
	assert_int_equal(imagefile_map(fd, &mapped, &len, &err), -EINVAL);
}

/* What cannot be written leaves what was there, and no draft. */
static void test_failure(void **state)
{
	(void) state;
	write_good("{}");
	_cleanup_free_ struct image *image = compile("{\"allow\":[\"a.test\"]}");
	struct error err = { 0 };
	char name[300];
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(imagefile_write(dir, name, image, &err), -ENAMETOOLONG);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(imagefile_write(dir, "d", image, &err), -EISDIR);
	assert_int_equal(unlinkat(dir, "d", AT_REMOVEDIR), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_failure),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
