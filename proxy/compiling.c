/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/compiling.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"

/* What the command finds its descriptors at: see the arguments. */
enum compile_fd {
	COMPILE_FD_ANSWER = SPAWN_FD_FIRST,
	COMPILE_FD_RUN,
	COMPILE_FD_IMAGES,
	COMPILE_FD_END,
};

/* image->file is DIR/NAME.json. */
static int find_directory(const struct image *image, char ret[PATH_MAX], struct error *err)
{
	const char *file = image_string(image, image->file);
	const char *slash = strrchr(file, '/');
	if (!slash || slash == file || (size_t) (slash - file) >= PATH_MAX)
		return error_say(err, EINVAL, "policy file %s: expected an absolute path", file);
	(void) snprintf(ret, PATH_MAX, "%.*s", (int) (slash - file), file);
	return 0;
}

int compiling_start(struct compiling *compiling, int program, int run, int images, const struct image *image,
	const char *on_failure, struct error *err)
{
	char policies[PATH_MAX];
	int r = find_directory(image, policies, err);
	if (r < 0)
		return r;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	_cleanup_close_ int answer = ends[0];
	_cleanup_close_ int theirs = ends[1];
	if (fcntl(answer, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, errno, "pipe");

	/* "/.": a run directory is opened with O_NOFOLLOW. */
	const char *const argv[] = { "oci-egress", "compile", "--answer", "3", "--run", "/proc/self/fd/4/.", "--images",
		"5", "--policies", policies, "--on-failure", on_failure, "--", image_string(image, image->name), NULL };
	const int fds[COMPILE_FD_END - SPAWN_FD_FIRST] = {
		[COMPILE_FD_ANSWER - SPAWN_FD_FIRST] = theirs,
		[COMPILE_FD_RUN - SPAWN_FD_FIRST] = run,
		[COMPILE_FD_IMAGES - SPAWN_FD_FIRST] = images,
	};
	struct handle handle = { .pidfd = -1, .stop_signal = SIGKILL };
	r = spawn(program, argv, fds, ARRAY_SIZE(fds), &handle.pid, &handle.pidfd, err);
	if (r < 0)
		return r;
	compiling->handle = handle;
	compiling->answer = TAKE_FD(answer);
	compiling->len = 0;
	compiling->end_ms = clock_now_ms() + COMPILING_TIMEOUT_MS;
	return 0;
}

/* Returns whether its end has come. */
static bool read_answer(struct compiling *compiling)
{
	for (;;) {
		char rest[256];
		size_t room = sizeof(compiling->text) - 1 - compiling->len;
		ssize_t n = room > 0 ? read(compiling->answer, compiling->text + compiling->len, room)
				     : read(compiling->answer, rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 || errno != EAGAIN;
		if (room > 0)
			compiling->len += (size_t) n;
	}
}

int compiling_look(struct compiling *compiling, const char **ret_image, struct error *err)
{
	bool ended = read_answer(compiling);
	if (!ended && clock_now_ms() < compiling->end_ms)
		return 0;
	/* The answer says how it went: nobody waits for the process to be gone of itself. */
	compiling_stop(compiling);
	compiling->text[compiling->len] = '\0';
	if (!ended)
		return error_say(
			err, ETIMEDOUT, "the policy was not compiled within %d s", COMPILING_TIMEOUT_MS / 1000);
	if (compiling->text[0] == COMPILING_GOOD) {
		*ret_image = compiling->text + 1;
		return 1;
	}
	if (compiling->text[0] == COMPILING_BAD)
		return error_say(err, EINVAL, "%s", compiling->text + 1);
	return error_say(err, EIO, "oci-egress compile died without an answer");
}

void compiling_stop(struct compiling *compiling)
{
	if (compiling->answer < 0)
		return;
	close(compiling->answer);
	compiling->answer = -1;
	handle_stop(&compiling->handle);
}
