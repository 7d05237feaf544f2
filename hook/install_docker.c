/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker: runtimes in daemon.json. Without runtimeArgs, for which dockerd writes a shell script that passes "$@"
 * without quotes: a policy is fixed by the name that the program is called by.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "hook/install.h"
#include "oci/edit.h"
#include "oci/policy.h"

#define FILE_PATH "/etc/docker/daemon.json"
#define RUNTIME "oci-egress"
#define TEXT_SIZE 16384

/* How a document is laid out: what stands before each member of its outermost object. */
struct layout {
	char indent[32]; /* "" where all stands in one line */
	const char *line;
};

static struct layout find_layout(const struct json *json, const char *text)
{
	struct layout layout = { .indent = "    ", .line = strstr(text, "\r\n") ? "\r\n" : "\n" };
	const struct json_value *first = json_root(json)->first;
	if (!first)
		return layout;
	size_t start = first->key_offset, n = 0;
	while (start > 0 && (text[start - 1] == ' ' || text[start - 1] == '\t'))
		start--, n++;
	bool own_line = start > 0 && text[start - 1] == '\n' && n < sizeof(layout.indent);
	(void) snprintf(layout.indent, sizeof(layout.indent), "%.*s", own_line ? (int) n : 0, text + start);
	return layout;
}

/* What a new member or bracket stands behind, so many levels in. */
static void add_break(struct text *to, const struct layout *layout, int depth)
{
	if (layout->indent[0] == '\0') {
		text_add(to, " ");
		return;
	}
	text_add(to, "%s", layout->line);
	for (int i = 0; i < depth; i++)
		text_add(to, "%s", layout->indent);
}

/* A runtime that is to be there. */
struct runtime {
	char name[sizeof(RUNTIME) + 1 + POLICY_NAME_MAX];
	char path[PATH_MAX];
};

static void runtime_make(const struct install *install, const char *policy, struct runtime *ret)
{
	(void) snprintf(ret->name, sizeof(ret->name), RUNTIME "%s%s", policy ? "-" : "", policy ? policy : "");
	(void) snprintf(ret->path, sizeof(ret->path), "%.3900s/oci-egress-runtime%s%s", install->programs,
		policy ? "@" : "", policy ? policy : "");
}

static void add_value(struct text *to, const struct layout *layout, const struct runtime *runtime)
{
	text_add(to, "{");
	add_break(to, layout, 3);
	text_add(to, "\"path\": ");
	text_add_json(to, runtime->path, strlen(runtime->path));
	add_break(to, layout, 2);
	text_add(to, "}");
}

static void add_member(struct text *to, const struct layout *layout, const struct runtime *runtime)
{
	add_break(to, layout, 2);
	text_add_json(to, runtime->name, strlen(runtime->name));
	text_add(to, ": ");
	add_value(to, layout, runtime);
}

static int append(struct edit *edit, const struct json_value *to, struct text *text, struct error *err)
{
	if (text->cut)
		return error_set(err, ENAMETOOLONG, "%s", FILE_PATH);
	/* An empty object has nothing that its closing bracket would stand behind. */
	return edit_append(edit, to, text->buf, text->len, err);
}

static bool is_there(const struct json_value *member, const struct runtime *runtime)
{
	const struct json_value *path = member->kind == JSON_OBJECT ? json_member(member, "path") : NULL;
	return path && member->len == 1 && path->kind == JSON_STRING && json_is(path, runtime->path);
}

/* Adds one runtime to what is to be edited; *ret_changed: it was not there like this. */
static int edit_runtime(
	struct edit *edit, const struct layout *layout, const struct runtime *runtime, struct error *err)
{
	char buf[TEXT_SIZE];
	struct text text = text_init(buf, sizeof(buf));
	const struct json_value *root = json_root(edit->json), *runtimes = json_member(root, "runtimes");
	if (runtimes && runtimes->kind != JSON_OBJECT)
		return json_complain(edit->json, runtimes, err, "expected an object");
	const struct json_value *member = runtimes ? json_member(runtimes, runtime->name) : NULL;
	if (member && is_there(member, runtime))
		return 0;
	if (member) {
		add_value(&text, layout, runtime);
		return text.cut ? error_set(err, ENAMETOOLONG, "%s", FILE_PATH)
				: edit_replace(edit, member, text.buf, text.len, err);
	}
	if (!runtimes) {
		add_break(&text, layout, 1);
		text_add(&text, "\"runtimes\": {");
	}
	add_member(&text, layout, runtime);
	if (!runtimes || runtimes->len == 0)
		add_break(&text, layout, 1);
	if (!runtimes)
		text_add(&text, "}");
	if (!runtimes && root->len == 0)
		text_add(&text, "%s", layout->line);
	return append(edit, runtimes ? runtimes : root, &text, err);
}

static int edit_default(
	struct edit *edit, const struct layout *layout, const struct runtime *runtime, struct error *err)
{
	char buf[TEXT_SIZE];
	struct text text = text_init(buf, sizeof(buf));
	const struct json_value *root = json_root(edit->json), *member = json_member(root, "default-runtime");
	if (member && member->kind == JSON_STRING && json_is(member, runtime->name))
		return 0;
	if (!member) {
		add_break(&text, layout, 1);
		text_add(&text, "\"default-runtime\": ");
	}
	text_add_json(&text, runtime->name, strlen(runtime->name));
	return member ? edit_replace(edit, member, text.buf, text.len, err) : append(edit, root, &text, err);
}

/* The text with a runtime in it, which is also the default where that was asked for. */
static int merge(const struct install *install, const char *policy, const char *text, size_t len, char **ret,
	size_t *ret_len, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	struct runtime runtime;
	int r = json_parse(FILE_PATH, text, len, false, &json, err);
	if (r < 0)
		return r;
	_cleanup_edit_ struct edit edit = { .json = json };
	struct layout layout = find_layout(json, text);
	runtime_make(install, policy, &runtime);
	/* What is appended first stands first, and an empty document ends its line behind the runtimes. */
	r = install->set_default && policy == install->policy ? edit_default(&edit, &layout, &runtime, err) : 0;
	if (r == 0)
		r = edit_runtime(&edit, &layout, &runtime, err);
	return r < 0 ? r : edit_apply(&edit, ret, ret_len, err);
}

static int add_link(struct install *install, struct error *err)
{
	struct runtime runtime;
	if (!policy_name_valid(install->policy))
		return error_say(err, EINVAL, "--policy %s: not the name of a policy", install->policy);
	runtime_make(install, install->policy, &runtime);
	return install_add_text(install, runtime.path, INSTALL_LINK, "oci-egress-runtime", err);
}

static int plan(struct install *install, struct error *err)
{
	struct install_file *file;
	int r = install->policy ? add_link(install, err) : 0;
	if (r == 0)
		r = install_add(install, FILE_PATH, INSTALL_DOCKER, &file, err);
	if (r < 0)
		return r;
	bool blank = install_is_blank(file);
	_cleanup_free_ char *first = NULL;
	char *text;
	size_t first_len, len;
	r = merge(install, NULL, blank ? "{}\n" : file->before, blank ? 3 : file->before_len, &first, &first_len, err);
	if (r == 0 && install->policy)
		r = merge(install, install->policy, first, first_len, &text, &len, err);
	if (r < 0)
		return r;
	free(file->after);
	file->after = install->policy ? text : TAKE_PTR(first);
	file->after_len = install->policy ? len : first_len;
	return 0;
}

/* A name that install gives. */
static bool is_our_name(const char *name, size_t len)
{
	static const char prefix[] = RUNTIME;
	size_t n = sizeof(prefix) - 1;
	return len >= n && memcmp(name, prefix, n) == 0 && (len == n || name[n] == '-');
}

/* The name alone says little: others may have called theirs so. */
static bool is_our_runtime(const struct json_value *member)
{
	static const char program[] = "/oci-egress-runtime";
	size_t n = sizeof(program) - 1;
	const struct json_value *path = member->kind == JSON_OBJECT ? json_member(member, "path") : NULL;
	if (!path || path->kind != JSON_STRING || !is_our_name(member->key, member->key_len))
		return false;
	const char *last = memrchr(path->bytes, '/', path->len);
	size_t len = last ? (size_t) (path->bytes + path->len - last) : 0;
	return len >= n && memcmp(last, program, n) == 0 && (len == n || (last[n] == '@' && len > n + 1));
}

static const struct json_value *find_runtime(const struct json *json, const char *name, size_t len)
{
	const struct json_value *runtimes = json_member(json_root(json), "runtimes");
	if (!runtimes || runtimes->kind != JSON_OBJECT)
		return NULL;
	for (const struct json_value *m = runtimes->first; m; m = m->next)
		if (m->key_len == len && memcmp(m->key, name, len) == 0)
			return m;
	return NULL;
}

/* With our name, and our runtime or none behind it. */
static bool is_our_default(const struct json *json, const struct json_value *value)
{
	if (value->kind != JSON_STRING || !is_our_name(value->bytes, value->len))
		return false;
	const struct json_value *runtime = find_runtime(json, value->bytes, value->len);
	return !runtime || is_our_runtime(runtime);
}

/* What install found in the place of a member, or NULL. */
static const struct json_value *find_former(
	const struct json *found, const struct json *json, const struct json_value *member)
{
	if (!found)
		return NULL;
	if (member->parent != json_root(json))
		return find_runtime(found, member->key, member->key_len);
	const struct json_value *former = json_member(json_root(found), "default-runtime");
	/* dockerd does not start with a default that somebody has taken out of the runtimes since. */
	bool gone = former && former->kind == JSON_STRING && find_runtime(found, former->bytes, former->len) &&
		    !find_runtime(json, former->bytes, former->len);
	return gone ? NULL : former;
}

static bool is_as_found(const struct json *found, const struct json *json, const struct json_value *member)
{
	size_t len, former_len;
	const struct json_value *former = find_former(found, json, member);
	if (!former)
		return false;
	const char *source = edit_source(json, member, &len), *was = edit_source(found, former, &former_len);
	return install_same(source, len, was, former_len);
}

/* The next member that is ours, and not as install found it: the default, while its runtime is there, or a runtime. */
static const struct json_value *find_ours(const struct json *found, const struct json *json)
{
	const struct json_value *runtimes = json_member(json_root(json), "runtimes");
	const struct json_value *named = json_member(json_root(json), "default-runtime");
	if (named && is_our_default(json, named) && !is_as_found(found, json, named))
		return named;
	if (!runtimes || runtimes->kind != JSON_OBJECT)
		return NULL;
	for (const struct json_value *m = runtimes->first; m; m = m->next)
		if (is_our_runtime(m) && !is_as_found(found, json, m))
			return m;
	return NULL;
}

/* Where a member starts and ends, with the comma that it needs, or that the next one would. */
static void find_extent(
	const struct json *json, const struct json_value *member, const char *text, size_t *ret_from, size_t *ret_to)
{
	size_t n;
	const struct json_value *before = NULL;
	for (const struct json_value *m = member->parent->first; m != member; m = m->next)
		before = m;
	*ret_from = before ? (size_t) (edit_source(json, before, &n) - text) + n : member->key_offset;
	if (!before && member->next)
		*ret_to = member->next->key_offset;
	else
		*ret_to = (size_t) (edit_source(json, member, &n) - text) + n;
}

static int put_back(const struct json *found, const struct json_value *former, const struct json *json,
	const struct json_value *member, char **text, size_t *len, struct error *err)
{
	_cleanup_edit_ struct edit edit = { .json = json };
	size_t n;
	const char *source = edit_source(found, former, &n);
	char *edited = NULL;
	int r = edit_replace(&edit, member, source, n, err);
	if (r == 0)
		r = edit_apply(&edit, &edited, len, err);
	if (r < 0)
		return r;
	free(*text);
	*text = edited;
	return 0;
}

static void take_out(const struct json *json, const struct json_value *member, char *text, size_t *len)
{
	size_t from, to;
	/* All runtimes, where no other is left. */
	bool whole = member->parent != json_root(json) && member->parent->len == 1;
	find_extent(json, whole ? member->parent : member, text, &from, &to);
	memmove(text + from, text + to, *len - to);
	*len -= to - from;
	text[*len] = '\0';
}

/* Returns 1 where there was one, 0 where none is left. */
static int strip_next(const struct json *found, const char *path, char **text, size_t *len, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(path, *text, *len, false, &json, err);
	if (r < 0)
		return r;
	const struct json_value *ours = find_ours(found, json);
	if (!ours)
		return 0;
	const struct json_value *former = find_former(found, json, ours);
	if (former)
		r = put_back(found, former, json, ours, text, len, err);
	else
		take_out(json, ours, *text, len);
	return r < 0 ? r : 1;
}

int install_strip_docker(const struct install_file *file, const char *found, size_t found_len, char **ret,
	size_t *ret_len, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *now = malloc(file->before_len + 1);
	size_t len = file->before_len;
	bool changed = false, blank = !found || found[strspn(found, " \t\r\n")] == '\0';
	if (!now)
		return error_set(err, ENOMEM, "%s", file->path);
	memcpy(now, file->before, len + 1);
	int r = blank ? 0 : json_parse(file->path, found, found_len, false, &json, err);
	while (r == 0) {
		r = strip_next(json, file->path, &now, &len, err);
		if (r <= 0)
			break;
		changed = true;
		r = 0;
	}
	if (r < 0)
		return r;
	*ret = changed ? TAKE_PTR(now) : NULL;
	*ret_len = len;
	return 0;
}

const struct install_engine install_docker = {
	.name = "docker",
	.plan = plan,
	.programs = "oci-egress-runtime",
	.then = "to reload: systemctl reload docker (containers go on running).\n"
		"docker run --runtime oci-egress --network none ..., with a policy as oci-egress(1) says; with "
		"--policy "
		"NAME: --runtime oci-egress-NAME",
	.then_without = "to reload: systemctl reload docker",
};
