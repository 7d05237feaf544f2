/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/hooksdir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/rooted.h"
#include "oci/toml_edit.h"

#define LINE_SIZE 8192

static void forget(struct hooksdir *hooksdir)
{
	for (size_t i = 0; i < hooksdir->n; i++)
		free(hooksdir->dirs[i]);
	hooksdir->n = 0;
}

void hooksdir_clear(struct hooksdir *hooksdir)
{
	forget(hooksdir);
	free(TAKE_PTR(hooksdir->file));
}

int hooksdir_init(struct hooksdir *ret, const char *path, size_t path_len, struct error *err)
{
	*ret = (struct hooksdir){ .path = path, .path_len = path_len };
	ret->dirs[0] = strdup(HOOKSDIR_DEFAULT);
	if (!ret->dirs[0])
		return error_set(err, ENOMEM, "hooks_dir");
	ret->n = 1;
	return 0;
}

/* podman's `{append=true}` in a list keeps what held before. */
static bool appends(const struct toml *toml, const struct toml_item *array)
{
	for (const struct toml_item *e = NULL; (e = toml_element(toml, array, e));)
		if (e->kind == TOML_INLINE && memmem(toml->text + e->at, e->end - e->at, "append", 6))
			return true;
	return false;
}

static int take_elements(
	struct hooksdir *hooksdir, const struct toml *toml, const struct toml_item *array, struct error *err)
{
	if (array->kind != TOML_ARRAY)
		return toml_complain(toml, array->at, err, "hooks_dir: expected an array of strings");
	if (!appends(toml, array))
		forget(hooksdir);
	for (const struct toml_item *e = NULL; (e = toml_element(toml, array, e));) {
		if (e->kind == TOML_INLINE)
			continue;
		if (hooksdir->n == HOOKSDIR_MAX)
			return toml_complain(toml, e->at, err, "hooks_dir: more than %d directories", HOOKSDIR_MAX);
		int r = toml_string(toml, e, &hooksdir->dirs[hooksdir->n], err);
		if (r < 0)
			return r;
		hooksdir->n++;
	}
	return 0;
}

int hooksdir_read(struct hooksdir *hooksdir, int root, const char *file, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_toml_ struct toml *toml = NULL;
	const struct toml_item *array = NULL;
	size_t len;
	int r = rooted_read(root, file, ROOTED_SIZE_MAX, &text, &len, err);
	if (r < 0 || !text)
		return r;
	r = toml_parse(file, text, len, &toml, err);
	if (r == 0)
		r = toml_find(toml, hooksdir->path, hooksdir->path_len, &array, err);
	if (r < 0 || !array)
		return r;
	free(hooksdir->file);
	hooksdir->file = strdup(file);
	if (!hooksdir->file)
		return error_set(err, ENOMEM, "%s", file);
	return take_elements(hooksdir, toml, array, err);
}

int hooksdir_read_dir(
	struct hooksdir *hooksdir, int root, const char *dir, const char *suffix, const char *but, struct error *err)
{
	char **names, file[PATH_MAX];
	int n = rooted_list(root, dir, suffix, &names, err), r = n < 0 ? n : 0;
	for (int i = 0; i < n && r == 0; i++) {
		if (but && strcmp(names[i], but) == 0)
			continue;
		if ((size_t) snprintf(file, sizeof(file), "%s/%s", dir, names[i]) >= sizeof(file))
			r = error_set(err, ENAMETOOLONG, "%s", dir);
		else
			r = hooksdir_read(hooksdir, root, file, err);
	}
	if (n > 0)
		rooted_free_list(names, n);
	return r;
}

bool hooksdir_has(const struct hooksdir *hooksdir, const char *dir)
{
	for (size_t i = 0; i < hooksdir->n; i++)
		if (strcmp(hooksdir->dirs[i], dir) == 0)
			return true;
	return false;
}

bool hooksdir_line(const struct hooksdir *hooksdir, const char *dir, char *ret, size_t size)
{
	char quoted[PATH_MAX];
	struct text text = text_init(ret, size);
	bool fits = true;
	text_add(&text, "hooks_dir = [");
	for (size_t i = 0; i < hooksdir->n; i++) {
		fits = toml_quote(hooksdir->dirs[i], quoted, sizeof(quoted)) && fits;
		text_add(&text, "%s, ", quoted);
	}
	fits = toml_quote(dir, quoted, sizeof(quoted)) && fits;
	text_add(&text, "%s]", quoted);
	return fits && !text.cut;
}

/* Puts the edited text into the plan. */
static void put(struct install_file *file, char *text, size_t len)
{
	free(file->after);
	file->after = text;
	file->after_len = len;
}

int hooksdir_add_element(const struct hooksdir *hooksdir, struct install *install, struct error *err)
{
	struct install_file *file;
	_cleanup_toml_ struct toml *toml = NULL;
	const struct toml_item *array = NULL;
	int r = install_add(install, hooksdir->file, INSTALL_HOOKS_DIR, &file, err);
	if (r < 0 || hooksdir_has(hooksdir, install->hooks_dir))
		return r;
	r = toml_parse(file->path, file->before, file->before_len, &toml, err);
	if (r == 0)
		r = toml_find(toml, hooksdir->path, hooksdir->path_len, &array, err);
	if (r < 0)
		return r;
	char *text;
	size_t len;
	r = toml_append_element(toml, array, install->hooks_dir, &text, &len, err);
	if (r == 0)
		put(file, text, len);
	return r;
}

int hooksdir_add_line(const struct hooksdir *hooksdir, struct install *install, const char *path, const char *shown,
	struct error *err)
{
	struct install_file *file;
	char line[LINE_SIZE];
	_cleanup_toml_ struct toml *toml = NULL;
	int r = install_add(install, path, INSTALL_HOOKS_DIR, &file, err);
	if (r < 0)
		return r;
	if (!hooksdir_line(hooksdir, install->hooks_dir, line, sizeof(line)))
		return error_set(err, ENAMETOOLONG, "hooks_dir");
	r = toml_parse(path, file->before ? file->before : "", file->before_len, &toml, err);
	if (r < 0)
		return r;
	char *text;
	size_t len, table_len = hooksdir->path_len - sizeof("hooks_dir");
	r = toml_add_line(toml, hooksdir->path, table_len, shown, line, &text, &len, err);
	if (r == 0)
		put(file, text, len);
	return r;
}

static bool is_hooks_dir(const struct toml_item *item)
{
	static const char name[] = "hooks_dir";
	return item->kind == TOML_ARRAY && item->path_len > sizeof(name) &&
	       memcmp(item->path + item->path_len - sizeof(name), name, sizeof(name)) == 0;
}

/* Our element in a hooks_dir, and whether it is the only one. False: an error. */
static int find_ours(
	const struct toml *toml, const char *dir, const struct toml_item **ret, bool *ret_alone, struct error *err)
{
	*ret = NULL;
	for (size_t i = 0; i < toml->n; i++) {
		const struct toml_item *array = &toml->items[i];
		if (!is_hooks_dir(array))
			continue;
		for (const struct toml_item *e = NULL; (e = toml_element(toml, array, e));) {
			_cleanup_free_ char *string = NULL;
			if (e->kind != TOML_STRING)
				continue;
			int r = toml_string(toml, e, &string, err);
			if (r < 0)
				return r;
			if (strcmp(string, dir) != 0)
				continue;
			const struct toml_item *first = toml_element(toml, array, NULL);
			*ret = e;
			*ret_alone = first == e && !toml_element(toml, array, e);
			return 0;
		}
	}
	return 0;
}

int hooksdir_strip(
	const char *file, const char *dir, const char *text, size_t len, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_toml_ struct toml *toml = NULL;
	const struct toml_item *ours = NULL;
	bool alone = false;
	int r = toml_parse(file, text, len, &toml, err);
	if (r == 0)
		r = find_ours(toml, dir, &ours, &alone, err);
	*ret = NULL;
	if (r < 0 || !ours)
		return r;
	if (alone)
		return toml_remove_statement(toml, &toml->items[ours->parent], ret, ret_len, err);
	return toml_remove_element(toml, ours, ret, ret_len, err);
}
