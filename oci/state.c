/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/annotation.h"
#include "oci/json.h"

#define PID_MAX_LIMIT 4194304 /* proc(5), /proc/sys/kernel/pid_max on 64 bits */

static void cleanup_state(struct state **state)
{
	state_free(*state);
}
#define _cleanup_state_ __attribute__((cleanup(cleanup_state)))

void state_free(struct state *state)
{
	if (!state)
		return;
	for (size_t i = 0; i < state->n_annotations; i++) {
		free(state->annotations[i].key);
		free(state->annotations[i].value);
	}
	free(state->annotations);
	free(state->bundle);
	free(state);
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool state_id_valid(const char *id, size_t len)
{
	if (len == 0 || len > STATE_ID_MAX || !is_alnum(id[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_alnum(id[i]) && !memchr("_.+-", id[i], 4))
			return false;
		if (id[i] == '.' && id[i - 1] == '.')
			return false;
	}
	return true;
}

static int read_id(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct state *state = into;
	char excerpt[JSON_EXCERPT_MAX];
	if (!state_id_valid(value->bytes, value->len))
		return json_complain(json, value, err,
			"is %s, expected 1 to %d of A-Z a-z 0-9 _ . + -, the first a letter or digit, and no \"..\"",
			json_excerpt(value, excerpt), STATE_ID_MAX);
	memcpy(state->id, value->bytes, value->len);
	return 0;
}

static int read_status(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	static const char *const known[] = { "creating", "created", "running", "stopped" };
	(void) key;
	struct state *state = into;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (json_is(value, known[i])) {
			memcpy(state->status, value->bytes, value->len);
			return 0;
		}
	char excerpt[JSON_EXCERPT_MAX];
	return json_complain(json, value, err, "is %s, expected creating, created, running or stopped",
		json_excerpt(value, excerpt));
}

static int read_bundle(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct state *state = into;
	char excerpt[JSON_EXCERPT_MAX];
	if (value->len == 0 || value->bytes[0] != '/')
		return json_complain(
			json, value, err, "is %s, expected an absolute path", json_excerpt(value, excerpt));
	state->bundle = json_strdup(value);
	return state->bundle ? 0 : error_set(err, ENOMEM, "read state");
}

/* A pid that is there must be one; 0 passes for a container that has ended (crun's poststop). */
static int read_pid(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct state *state = into;
	const struct json_value *status = json_member(json_root(json), "status");
	bool ended = status && json_is(status, "stopped");
	int64_t pid;
	if (!json_int64(value, &pid) || pid < (ended ? 0 : 1) || pid > PID_MAX_LIMIT)
		return json_complain(json, value, err, "is %.*s%s, expected an integer from 1 to %d",
			value->len > 32 ? 32 : (int) value->len, value->bytes, value->len > 32 ? "..." : "",
			PID_MAX_LIMIT);
	state->pid = (pid_t) pid;
	return 0;
}

static int add_annotation(struct state *state, const struct json_value *value, struct error *err)
{
	struct state_annotation *annotation = &state->annotations[state->n_annotations++];
	annotation->key = strndup(value->key, value->key_len);
	annotation->value = json_strdup(value);
	return annotation->key && annotation->value ? 0 : error_set(err, ENOMEM, "read state");
}

static int read_annotations(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	(void) key;
	struct state *state = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0 || value->len == 0)
		return r;
	state->annotations = calloc(value->len, sizeof(*state->annotations));
	if (!state->annotations)
		return error_set(err, ENOMEM, "read state");
	for (const struct json_value *v = value->first; v; v = v->next) {
		r = annotation_check(json, v, err);
		if (r == 0)
			r = add_annotation(state, v, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int state_parse(const char *text, size_t len, struct state **ret, struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "ociVersion", .kind = JSON_STRING },
		{ .name = "id", .kind = JSON_STRING, .read = read_id, .required = true },
		{ .name = "status", .kind = JSON_STRING, .read = read_status, .required = true },
		{ .name = "pid", .kind = JSON_NUMBER, .read = read_pid },
		{ .name = "bundle", .kind = JSON_STRING, .read = read_bundle, .required = true },
		{ .name = "annotations",
			.kind = JSON_OBJECT,
			.read = read_annotations,
			.expected = "an object of strings",
			.null_is_absent = true },
		{ .name = NULL },
	};

	if (len > STATE_SIZE_MAX)
		return error_say(err, EINVAL, "state: longer than %u bytes", STATE_SIZE_MAX);
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse("state", text, len, false, &json, err);
	if (r < 0)
		return r;
	_cleanup_state_ struct state *state = calloc(1, sizeof(*state));
	if (!state)
		return error_set(err, ENOMEM, "read state");
	r = json_read_object(json, json_root(json), keys, JSON_UNKNOWN_PASSES, state, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(state);
	return 0;
}

const char *state_annotation(const struct state *state, const char *key)
{
	for (size_t i = 0; i < state->n_annotations; i++)
		if (strcmp(state->annotations[i].key, key) == 0)
			return state->annotations[i].value;
	return NULL;
}
