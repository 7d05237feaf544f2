/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "hook/rooted.h"

#define JOURNAL_SIZE_MAX (64u << 20)

/*
 * Per file three lines, PART, PATH and MADE (or nothing), and twice the length of a text, or -, and the text:
 *
 *     own
 *     /etc/crio/crio.conf.d/99-oci-egress.conf
 *     /etc/crio
 *     -
 *     5
 *     TEXT.
 */
static const char *const parts[] = {
	[INSTALL_OWN] = "own",
	[INSTALL_LINK] = "link",
	[INSTALL_DOCKER] = "docker",
	[INSTALL_HOOKS_DIR] = "hooks_dir",
	[INSTALL_CONTAINERD] = "containerd",
};

static int path_of(const struct install *install, const char *engine, char ret[PATH_MAX], struct error *err)
{
	return (size_t) snprintf(ret, PATH_MAX, "%s/%s", install->journal, engine) < PATH_MAX
		       ? 0
		       : error_set(err, ENAMETOOLONG, "journal");
}

int journal_lock(const struct install *install, int *ret_fd, struct error *err)
{
	_cleanup_free_ char *made = NULL, *own = NULL;
	char path[PATH_MAX];
	int r = path_of(install, "lock", path, err);
	if (r == 0)
		r = rooted_make_parents(install->root, install->journal, 0755, &made, err);
	if (r == 0)
		r = rooted_make_parents(install->root, path, 0700, &own, err);
	if (r < 0)
		return error_wrap(err, "journal");
	_cleanup_close_ int fd = rooted_open(install->root, install->journal, O_RDONLY | O_DIRECTORY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "journal %s", install->journal);
	/* What is written to files of the system comes from here. */
	if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return error_say(err, EPERM, "journal %s: expected to be its only owner", install->journal);
	if (flock(fd, LOCK_EX) < 0)
		return error_set(err, errno, "lock journal %s", install->journal);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

struct reader {
	const char *at, *end;
};

/* The next line, to be freed. NULL: there is none. */
static char *take_line(struct reader *reader)
{
	const char *end = memchr(reader->at, '\n', (size_t) (reader->end - reader->at));
	char *line = end ? strndup(reader->at, (size_t) (end - reader->at)) : NULL;
	if (line)
		reader->at = end + 1;
	return line;
}

static bool take_text(struct reader *reader, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *line = take_line(reader);
	if (!line)
		return false;
	*ret = NULL;
	*ret_len = 0;
	if (strcmp(line, "-") == 0)
		return true;
	char *end;
	unsigned long len = strtoul(line, &end, 10);
	if (*end != '\0' || len > ROOTED_SIZE_MAX || len >= (size_t) (reader->end - reader->at))
		return false;
	*ret = malloc(len + 1);
	if (!*ret)
		return false;
	memcpy(*ret, reader->at, len);
	(*ret)[len] = '\0';
	*ret_len = len;
	reader->at += len + 1;
	return true;
}

static bool take_file(struct reader *reader, struct install_file *ret)
{
	_cleanup_free_ char *part = take_line(reader);
	ret->path = take_line(reader);
	ret->made = take_line(reader);
	if (!part || !ret->path || !ret->made || ret->path[0] != '/')
		return false;
	if (ret->made[0] == '\0')
		free(TAKE_PTR(ret->made));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(parts[i], part) == 0) {
			ret->part = (enum install_part) i;
			return take_text(reader, &ret->before, &ret->before_len) &&
			       take_text(reader, &ret->after, &ret->after_len);
		}
	}
	return false;
}

int journal_read(const struct install *install, const char *engine, struct install_files *ret, bool *ret_there,
	struct error *err)
{
	char path[PATH_MAX];
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = path_of(install, engine, path, err);
	if (r == 0)
		r = rooted_read(install->root, path, JOURNAL_SIZE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	*ret_there = text != NULL;
	struct reader reader = { text, text ? text + len : NULL };
	while (reader.at < reader.end) {
		if (ret->n == INSTALL_FILES_MAX || !take_file(&reader, &ret->list[ret->n++]))
			return error_say(err, EINVAL, "%s: not a journal of oci-egress", path);
	}
	return 0;
}

static void put_text(FILE *to, const char *text, size_t len)
{
	if (!text) {
		(void) fputs("-\n", to);
		return;
	}
	(void) fprintf(to, "%zu\n", len);
	(void) fwrite(text, 1, len, to);
	(void) fputc('\n', to);
}

int journal_write(
	const struct install *install, const char *engine, const struct install_files *files, struct error *err)
{
	char path[PATH_MAX];
	int r = path_of(install, engine, path, err);
	if (r < 0 || files->n == 0)
		return r < 0 ? r : rooted_remove(install->root, path, true, err);

	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	if (!to)
		return error_set(err, errno, "journal");
	for (size_t i = 0; i < files->n; i++) {
		const struct install_file *file = &files->list[i];
		(void) fprintf(to, "%s\n%s\n%s\n", parts[file->part], file->path, file->made ? file->made : "");
		put_text(to, file->before, file->before_len);
		put_text(to, file->after, file->after_len);
	}
	if (fclose(to) != 0)
		return error_set(err, ENOMEM, "journal");
	return rooted_write(install->root, path, text, len, 0600, err);
}
