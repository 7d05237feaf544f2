/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/prepare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/edit.h"
#include "oci/profile_cache.h"

#define HOOK_TIMEOUT_S 30
#define STAGE_CREATE "createRuntime"
#define STAGE_STOP "poststop"

/* JSON text that grows. What cannot be had in memory, and what is no text of ours, is found out at the end. */
struct writer {
	FILE *file;
	char *text;
	size_t len;
	bool strange; /* bytes that no path or option of ours has */
};

static int writer_open(struct writer *writer, struct error *err)
{
	*writer = (struct writer){ 0 };
	writer->file = open_memstream(&writer->text, &writer->len);
	return writer->file ? 0 : error_set(err, ENOMEM, "edit JSON");
}

static int writer_close(struct writer *writer, struct error *err)
{
	bool failed = ferror(writer->file) != 0;
	failed |= fclose(writer->file) != 0;
	writer->file = NULL;
	if (failed)
		return error_set(err, ENOMEM, "edit JSON");
	return writer->strange ? error_say(err, EINVAL,
					 "a path or option of oci-egress's own has a byte outside of ASCII, which "
					 "cannot be written into config.json")
			       : 0;
}

static void writer_clear(struct writer *writer)
{
	if (writer->file)
		(void) fclose(writer->file);
	free(writer->text);
}

#define _cleanup_writer_ __attribute__((cleanup(writer_clear)))

static void put(struct writer *writer, const char *bytes, size_t len)
{
	if (len > 0)
		(void) fwrite(bytes, 1, len, writer->file);
}

static void put_string(struct writer *writer, const char *string)
{
	(void) fputc('"', writer->file);
	for (const char *p = string; *p; p++) {
		if (*p < 0x20 || *p > 0x7e)
			writer->strange = true;
		if (*p == '"' || *p == '\\')
			(void) fputc('\\', writer->file);
		(void) fputc(*p, writer->file);
	}
	(void) fputc('"', writer->file);
}

/* The elements of an array that stay, then those that are added. False: none is dropped. */
static bool put_elements(struct writer *writer, const struct json *json, const struct json_value *array,
	bool (*drops)(const struct json_value *element, const void *arg), const void *arg, const struct writer *added)
{
	bool dropped = false, first = true;
	for (const struct json_value *v = array->first; v; v = v->next) {
		if (drops(v, arg)) {
			dropped = true;
			continue;
		}
		size_t len;
		const char *source = edit_source(json, v, &len);
		put(writer, ",", !first);
		put(writer, source, len);
		first = false;
	}
	put(writer, ",", !first && added->len > 0);
	put(writer, added->text, added->len);
	return dropped;
}

/* Drops elements of an array and adds others behind those that stay; where none goes, those are not touched. */
static int rewrite_array(struct edit *edit, const struct json_value *array,
	bool (*drops)(const struct json_value *element, const void *arg), const void *arg, const struct writer *added,
	struct error *err)
{
	_cleanup_writer_ struct writer whole;
	int r = writer_open(&whole, err);
	if (r < 0)
		return r;
	put(&whole, "[", 1);
	bool dropped = put_elements(&whole, edit->json, array, drops, arg, added);
	put(&whole, "]", 1);
	r = writer_close(&whole, err);
	if (r < 0)
		return r;
	if (dropped)
		return edit_replace(edit, array, whole.text, whole.len, err);
	return added->len > 0 ? edit_append(edit, array, added->text, added->len, err) : 0;
}

/* A member's value of that kind. *ret: NULL where it is absent or null. */
static int find_member(const struct json *json, const struct json_value *object, const char *name, enum json_kind kind,
	const struct json_value **ret, struct error *err)
{
	const struct json_value *value = json_member(object, name);
	if (value && value->kind != kind && value->kind != JSON_NULL)
		return json_complain(
			json, value, err, "expected %s or null", kind == JSON_ARRAY ? "an array" : "an object");
	*ret = value && value->kind == kind ? value : NULL;
	return 0;
}

/* The member of that name becomes this text: in place of null, or as the object's last. */
static int set_member(struct edit *edit, const struct json_value *object, const char *name, const char *text,
	size_t len, struct error *err)
{
	const struct json_value *old = json_member(object, name);
	if (old)
		return edit_replace(edit, old, text, len, err);
	_cleanup_writer_ struct writer member;
	int r = writer_open(&member, err);
	if (r < 0)
		return r;
	put_string(&member, name);
	put(&member, ":", 1);
	put(&member, text, len);
	r = writer_close(&member, err);
	return r < 0 ? r : edit_append(edit, object, member.text, member.len, err);
}

/* The array of that name gets what is added, without what is dropped. */
static int set_array(struct edit *edit, const struct json_value *object, const char *name,
	bool (*drops)(const struct json_value *element, const void *arg), const void *arg, const struct writer *added,
	struct error *err)
{
	const struct json_value *array = NULL;
	int r = find_member(edit->json, object, name, JSON_ARRAY, &array, err);
	if (r < 0)
		return r;
	if (array)
		return rewrite_array(edit, array, drops, arg, added, err);
	if (added->len == 0)
		return 0;
	_cleanup_writer_ struct writer whole;
	r = writer_open(&whole, err);
	if (r < 0)
		return r;
	put(&whole, "[", 1);
	put(&whole, added->text, added->len);
	put(&whole, "]", 1);
	r = writer_close(&whole, err);
	return r < 0 ? r : set_member(edit, object, name, whole.text, whole.len, err);
}

/* The environment */

static bool is_replaced(const struct json_value *variable, const void *arg)
{
	if (variable->kind != JSON_STRING)
		return false;
	/* Longer than any of ours, it still has a name in front. */
	char name[BOUQUET_NAME_MAX + 2];
	size_t len = variable->len < sizeof(name) ? variable->len : sizeof(name) - 1;
	memcpy(name, variable->bytes, len);
	name[len] = '\0';
	return bouquet_replaces(arg, name);
}

static int put_bouquet(
	struct edit *edit, const struct json_value *process, const struct bouquet *bouquet, struct error *err)
{
	_cleanup_writer_ struct writer ours;
	int r = writer_open(&ours, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < bouquet->n; i++) {
		put(&ours, ",", i > 0);
		put_string(&ours, bouquet_text(bouquet, i));
	}
	r = writer_close(&ours, err);
	return r < 0 ? r : set_array(edit, process, "env", is_replaced, bouquet, &ours, err);
}

static int edit_env(
	struct edit *edit, const struct json_value *process, const struct bouquet *bouquet, struct error *err)
{
	const struct json_value *env = NULL;
	int r = find_member(edit->json, process, "env", JSON_ARRAY, &env, err);
	if (r == 0 && env)
		r = json_check_elements(edit->json, env, JSON_STRING, err);
	if (r < 0)
		return r;
	struct bouquet adopted = *bouquet;
	for (const struct json_value *v = env ? env->first : NULL; v; v = v->next)
		bouquet_adopt(&adopted, v->bytes, v->len);
	return put_bouquet(edit, process, &adopted, err);
}

/* The filter */

static int edit_seccomp(struct edit *edit, const struct json_value *linux_object, int profiles, struct error *err)
{
	const struct json_value *seccomp = NULL;
	int r = find_member(edit->json, linux_object, "seccomp", JSON_OBJECT, &seccomp, err);
	if (r < 0)
		return r;
	_cleanup_free_ char *text = NULL;
	size_t len;
	r = profile_merge_cached(profiles, edit->json, seccomp, &text, &len, err);
	return r < 0 ? r : set_member(edit, linux_object, "seccomp", text, len, err);
}

/* The hooks */

static bool is_our_hook(const struct json_value *hook, const void *arg)
{
	const struct json_value *path = hook->kind == JSON_OBJECT ? json_member(hook, "path") : NULL;
	return path && json_is(path, arg);
}

static void put_arguments(struct writer *writer, const char *const *args)
{
	for (; *args; args++) {
		put(writer, ",", 1);
		put_string(writer, *args);
	}
}

static int write_hook(struct writer *ret, const struct prepare_hook *hook, const char *stage, struct error *err)
{
	int r = writer_open(ret, err);
	if (r < 0)
		return r;
	(void) fputs("{\"path\":", ret->file);
	put_string(ret, hook->program);
	(void) fprintf(ret->file, ",\"args\":[\"oci-egress\",\"hook\",\"%s\"", stage);
	put_arguments(ret, hook->args);
	if (strcmp(stage, STAGE_CREATE) == 0)
		put_arguments(ret, hook->create_args);
	(void) fprintf(ret->file, "],\"timeout\":%d}", HOOK_TIMEOUT_S);
	return writer_close(ret, err);
}

static int edit_stage(struct edit *edit, const struct json_value *hooks, const struct prepare_hook *hook,
	const char *stage, struct error *err)
{
	_cleanup_writer_ struct writer ours = { 0 };
	int r = write_hook(&ours, hook, stage, err);
	return r < 0 ? r : set_array(edit, hooks, stage, is_our_hook, hook->program, &ours, err);
}

static int add_hooks(
	struct edit *edit, const struct json_value *root, const struct prepare_hook *hook, struct error *err)
{
	_cleanup_writer_ struct writer create = { 0 };
	_cleanup_writer_ struct writer stop = { 0 };
	_cleanup_writer_ struct writer hooks = { 0 };
	int r = write_hook(&create, hook, STAGE_CREATE, err);
	if (r == 0)
		r = write_hook(&stop, hook, STAGE_STOP, err);
	if (r == 0)
		r = writer_open(&hooks, err);
	if (r < 0)
		return r;
	(void) fprintf(hooks.file, "{\"" STAGE_CREATE "\":[%s],\"" STAGE_STOP "\":[%s]}", create.text, stop.text);
	r = writer_close(&hooks, err);
	return r < 0 ? r : set_member(edit, root, "hooks", hooks.text, hooks.len, err);
}

static int edit_hooks(
	struct edit *edit, const struct json_value *root, const struct prepare_hook *hook, struct error *err)
{
	static const struct writer nothing;
	const struct json_value *hooks = NULL;
	int r = find_member(edit->json, root, "hooks", JSON_OBJECT, &hooks, err);
	if (r < 0)
		return r;
	if (!hooks)
		return add_hooks(edit, root, hook, err);
	r = edit_stage(edit, hooks, hook, STAGE_CREATE, err);
	if (r == 0)
		r = edit_stage(edit, hooks, hook, STAGE_STOP, err);
	if (r == 0)
		r = set_array(edit, hooks, "prestart", is_our_hook, hook->program, &nothing, err);
	return r;
}

static int require(const struct json *json, const char *name, const struct json_value **ret, struct error *err)
{
	int r = find_member(json, json_root(json), name, JSON_OBJECT, ret, err);
	if (r == 0 && !*ret)
		return json_complain(json, json_root(json), err, "%s: is missing, expected an object", name);
	return r;
}

int prepare_config(const struct json *json, const struct bouquet *bouquet, const struct prepare_hook *hook,
	int profiles, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_edit_ struct edit edit = { .json = json };
	const struct json_value *process = NULL, *linux_object = NULL;
	int r = require(json, "process", &process, err);
	if (r == 0)
		r = require(json, "linux", &linux_object, err);
	if (r == 0)
		r = edit_env(&edit, process, bouquet, err);
	if (r == 0)
		r = edit_seccomp(&edit, linux_object, profiles, err);
	if (r == 0)
		r = edit_hooks(&edit, json_root(json), hook, err);
	return r < 0 ? r : edit_apply(&edit, ret, ret_len, err);
}

int prepare_process(
	const struct json *json, const struct bouquet *bouquet, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_edit_ struct edit edit = { .json = json };
	int r = edit_env(&edit, json_root(json), bouquet, err);
	return r < 0 ? r : edit_apply(&edit, ret, ret_len, err);
}

/* FNV-1a, each variable with the NUL at its end. */
const char *prepare_fingerprint(const struct bouquet *bouquet, char buf[PREPARE_FINGERPRINT_SIZE])
{
	uint64_t hash = 0xcbf29ce484222325;
	for (size_t i = 0; i < bouquet->n + bouquet->n_out; i++)
		for (size_t at = 0; at <= strlen(bouquet_text(bouquet, i)); at++)
			hash = (hash ^ (unsigned char) bouquet_text(bouquet, i)[at]) * 0x100000001b3;
	(void) snprintf(buf, PREPARE_FINGERPRINT_SIZE, "%016" PRIx64, hash);
	return buf;
}
