/* SPDX-License-Identifier: Apache-2.0 */
/* Showing what changes, and changing it: all of it, or nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "hook/install.h"
#include "hook/rooted.h"

bool install_changes(const struct install_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct install_file *file = &files->list[i];
		if (!install_same(file->before, file->before_len, file->after, file->after_len))
			return true;
	}
	return false;
}

/* A line, without what a terminal would obey. */
static void show_line(char sign, const char *line, size_t len)
{
	(void) putchar(sign);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) line[i];
		if (c == '\r' && i + 1 == len)
			continue;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			(void) printf("\\x%02x", c);
		else
			(void) putchar(c);
	}
	(void) putchar('\n');
}

static void show_lines(char sign, const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t) (end - text) : len;
		show_line(sign, text, n);
		n += end ? 1 : 0;
		text += n;
		len -= n;
	}
}

/* Bytes of lines that are the same at both starts. */
static size_t same_start(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t same = 0;
	for (size_t i = 0; i < a_len && i < b_len && a[i] == b[i]; i++)
		if (a[i] == '\n')
			same = i + 1;
	return same;
}

static size_t same_end(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t same = 0;
	for (size_t i = 0; i < a_len && i < b_len && a[a_len - 1 - i] == b[b_len - 1 - i]; i++) {
		/* A line is whole where the one before it ends in both, or both start. */
		bool a_starts = i + 1 == a_len || a[a_len - 2 - i] == '\n';
		bool b_starts = i + 1 == b_len || b[b_len - 2 - i] == '\n';
		if (a_starts && b_starts)
			same = i + 1;
	}
	return same;
}

static void show_text(const struct install_file *file)
{
	const char *before = file->before ? file->before : "", *after = file->after ? file->after : "";
	size_t start = same_start(before, file->before_len, after, file->after_len);
	size_t end = same_end(before + start, file->before_len - start, after + start, file->after_len - start);
	unsigned line = 1;
	for (size_t i = 0; i < start; i++)
		line += before[i] == '\n';
	if (start > 0)
		(void) printf("@@ line %u @@\n", line);
	show_lines('-', before + start, file->before_len - start - end);
	show_lines('+', after + start, file->after_len - start - end);
}

void install_show(const struct install_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct install_file *file = &files->list[i];
		if (install_same(file->before, file->before_len, file->after, file->after_len))
			continue;
		const char *what = !file->before ? "new" : !file->after ? "removed" : "changed";
		(void) printf("%s (%s%s)\n", file->path, what, file->part == INSTALL_LINK ? ", symbolic link" : "");
		if (file->part == INSTALL_LINK)
			(void) printf("%c-> %s\n", file->after ? '+' : '-', file->after ? file->after : file->before);
		else
			show_text(file);
	}
}

static int put(
	const struct install *install, const struct install_file *file, const char *text, size_t len, struct error *err)
{
	if (!text)
		return rooted_remove(install->root, file->path, file->part != INSTALL_LINK, err);
	if (file->part == INSTALL_LINK)
		return rooted_link(install->root, file->path, text, err);
	return rooted_write(install->root, file->path, text, len, 0644, err);
}

int install_make_parents(const struct install *install, struct install_files *files, struct error *err)
{
	for (size_t i = 0; i < files->n; i++) {
		struct install_file *file = &files->list[i];
		char *made = NULL;
		if (!file->after || install_same(file->before, file->before_len, file->after, file->after_len))
			continue;
		int r = rooted_make_parents(install->root, file->path, 0755, &made, err);
		if (r < 0)
			return r;
		/* Made by an earlier install, where it says so. */
		if (file->made)
			free(made);
		else
			file->made = made;
	}
	return 0;
}

void install_remove_parents(const struct install *install, const struct install_files *files)
{
	for (size_t i = files->n; i-- > 0;)
		if (files->list[i].made)
			rooted_remove_parents(install->root, files->list[i].path, files->list[i].made);
}

int install_apply(const struct install *install, const struct install_files *files, struct error *err)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct install_file *file = &files->list[i];
		if (install_same(file->before, file->before_len, file->after, file->after_len))
			continue;
		int r = put(install, file, file->after, file->after_len, err);
		if (r == 0)
			continue;
		while (i-- > 0) {
			file = &files->list[i];
			if (!install_same(file->before, file->before_len, file->after, file->after_len))
				(void) put(install, file, file->before, file->before_len, NULL);
		}
		return r;
	}
	return 0;
}
