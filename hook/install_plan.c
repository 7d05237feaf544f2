/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that plans are made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/hooksdir.h"
#include "hook/install.h"
#include "hook/rooted.h"
#include "oci/json.h"

#define HOOK_SIZE 8192

void install_files_clear(struct install_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		struct install_file *file = &files->list[i];
		free(file->path);
		free(file->made);
		free(file->before);
		free(file->after);
	}
	files->n = 0;
}

struct install_file *install_files_find(struct install_files *files, const char *path)
{
	for (size_t i = 0; i < files->n; i++)
		if (strcmp(files->list[i].path, path) == 0)
			return &files->list[i];
	return NULL;
}

bool install_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return !a || !b ? a == b : a_len == b_len && memcmp(a, b, a_len) == 0;
}

bool install_is_blank(const struct install_file *file)
{
	return !file->before || strspn(file->before, " \t\r\n") == file->before_len;
}

int install_read(
	const struct install *install, const struct install_file *file, char **ret, size_t *ret_len, struct error *err)
{
	if (file->part != INSTALL_LINK)
		return rooted_read(install->root, file->path, ROOTED_SIZE_MAX, ret, ret_len, err);
	int r = rooted_read_link(install->root, file->path, ret, err);
	*ret_len = r == 0 && *ret ? strlen(*ret) : 0;
	return r;
}

int install_add(
	struct install *install, const char *path, enum install_part part, struct install_file **ret, struct error *err)
{
	struct install_files *files = &install->files;
	if (files->n == INSTALL_FILES_MAX)
		return error_say(err, E2BIG, "more than %d files", INSTALL_FILES_MAX);
	struct install_file *file = &files->list[files->n];
	*file = (struct install_file){ .path = strdup(path), .part = part };
	if (!file->path)
		return error_set(err, ENOMEM, "%s", path);
	files->n++;
	int r = install_read(install, file, &file->before, &file->before_len, err);
	if (r < 0)
		return r;
	if (file->before) {
		file->after = malloc(file->before_len + 1);
		if (!file->after)
			return error_set(err, ENOMEM, "%s", path);
		memcpy(file->after, file->before, file->before_len + 1);
		file->after_len = file->before_len;
	}
	if (ret)
		*ret = file;
	return 0;
}

int install_add_text(
	struct install *install, const char *path, enum install_part part, const char *text, struct error *err)
{
	struct install_file *file = NULL;
	int r = install_add(install, path, part, &file, err);
	if (r < 0)
		return r;
	free(file->after);
	file->after = strdup(text);
	file->after_len = strlen(text);
	return file->after ? 0 : error_set(err, ENOMEM, "%s", path);
}

/* A hook gets one list of arguments for all its stages: hence a file for each of two. */
static int add_hook(struct install *install, const char *dir, const char *name, const char *stage, struct error *err)
{
	char path[PATH_MAX], program[PATH_MAX], buf[HOOK_SIZE];
	if ((size_t) snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path) ||
		(size_t) snprintf(program, sizeof(program), "%s/oci-egress", install->programs) >= sizeof(program))
		return error_set(err, ENAMETOOLONG, "%s", dir);
	struct text text = text_init(buf, sizeof(buf));
	text_add(&text, "{\n    \"version\": \"1.0.0\",\n    \"hook\": {\n        \"path\": ");
	text_add_json(&text, program, strlen(program));
	text_add(&text,
		",\n        \"args\": [\"oci-egress\", \"hook\", \"%s\"],\n        \"timeout\": 30\n    },\n"
		"    \"when\": {\"always\": true},\n    \"stages\": [\"%s\"]\n}\n",
		stage, stage);
	if (text.cut)
		return error_set(err, ENAMETOOLONG, "%s", program);
	return install_add_text(install, path, INSTALL_OWN, buf, err);
}

int install_add_hooks(struct install *install, const char *dir, struct error *err)
{
	int r = add_hook(install, dir, "oci-egress.json", "createRuntime", err);
	return r < 0 ? r : add_hook(install, dir, "oci-egress-poststop.json", "poststop", err);
}

static bool is_our_hook(const struct install_file *file)
{
	static const char program[] = "/oci-egress";
	_cleanup_json_ struct json *json = NULL;
	size_t n = sizeof(program) - 1;
	if (json_parse(file->path, file->before, file->before_len, false, &json, NULL) < 0)
		return false;
	const struct json_value *hook = json_member(json_root(json), "hook");
	const struct json_value *path = hook && hook->kind == JSON_OBJECT ? json_member(hook, "path") : NULL;
	return path && path->kind == JSON_STRING && path->len >= n &&
	       memcmp(path->bytes + path->len - n, program, n) == 0;
}

bool install_is_ours(const struct install_file *file)
{
	if (install_same(file->before, file->before_len, file->after, file->after_len))
		return true;
	return file->before && file->part == INSTALL_OWN &&
	       (strncmp(file->before, INSTALL_MARK, strlen(INSTALL_MARK)) == 0 || is_our_hook(file));
}

int install_strip(const struct install *install, const struct install_file *file, const char *found, size_t found_len,
	char **ret, size_t *ret_len, struct error *err)
{
	switch (file->part) {
	case INSTALL_DOCKER:
		return install_strip_docker(file, found, found_len, ret, ret_len, err);
	case INSTALL_HOOKS_DIR:
		return hooksdir_strip(
			file->path, install->hooks_dir, file->before, file->before_len, ret, ret_len, err);
	case INSTALL_CONTAINERD:
		return install_strip_containerd(file->path, file->before, file->before_len, ret, ret_len, err);
	default:
		*ret = NULL;
		return 0;
	}
}
