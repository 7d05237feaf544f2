/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/record.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "hook/process.h"
#include "oci/json.h"

#define RECORD_SIZE_MAX 8192
#define SUFFIX ".json"

static const struct json_choice states[] = {
	{ "starting", RECORD_STARTING },
	{ "guarded", RECORD_GUARDED },
	{ "open", RECORD_OPEN },
	{ 0 },
};

static const struct json_choice links[] = {
	{ "none", LINK_AUTO },
	{ "veth", LINK_VETH },
	{ "socket", LINK_SOCKET },
	{ 0 },
};

static const char *choice_word(const struct json_choice *choices, uint32_t value)
{
	for (; choices->word; choices++)
		if (choices->value == value)
			return choices->word;
	return "?";
}

const char *record_state_name(enum record_state state)
{
	return choice_word(states, state);
}

const char *record_link_name(enum link_kind kind)
{
	return choice_word(links, kind);
}

/* The size of a string field goes in json_key.max. */
static int read_string(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	if (value->len >= (size_t) key->max)
		return json_complain(json, value, err, "too long");
	char *field = (char *) into + key->offset;
	memcpy(field, value->bytes, value->len);
	field[value->len] = '\0';
	return 0;
}

static int read_number(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	int64_t number;
	if (!json_int64(value, &number) || number < key->min || number > key->max)
		return json_complain(json, value, err, "out of range");
	if (key->offset == offsetof(struct record, pid))
		((struct record *) into)->pid = (pid_t) number;
	else
		memcpy((char *) into + key->offset, &number, sizeof(number));
	return 0;
}

static int read_proxy(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	char text[INET_ADDRSTRLEN];
	if (value->len >= sizeof(text))
		return json_complain(json, value, err, "not an IPv4 address");
	memcpy(text, value->bytes, value->len);
	text[value->len] = '\0';
	if (inet_pton(AF_INET, text, &((struct record *) into)->proxy) != 1)
		return json_complain(json, value, err, "not an IPv4 address");
	return 0;
}

#define FIELD(f) .offset = offsetof(struct record, f)
#define TEXT(f) .kind = JSON_STRING, .read = read_string, FIELD(f), .max = sizeof(((struct record *) 0)->f)

static const struct json_key keys[] = {
	{ .name = "id", TEXT(id), .required = true },
	{ .name = "policy", TEXT(policy), .required = true },
	{ .name = "fingerprint", TEXT(fingerprint), .required = true },
	{ .name = "key", TEXT(key), .required = true },
	{ .name = "state",
		.kind = JSON_STRING,
		.read = json_read_choice,
		FIELD(state),
		.choices = states,
		.required = true },
	{ .name = "pid",
		.kind = JSON_NUMBER,
		.read = read_number,
		FIELD(pid),
		.min = 1,
		.max = 1 << 22,
		.required = true },
	{ .name = "start_time",
		.kind = JSON_NUMBER,
		.read = read_number,
		FIELD(start_time),
		.max = INT64_MAX,
		.required = true },
	{ .name = "since", .kind = JSON_NUMBER, .read = read_number, FIELD(since), .max = INT64_MAX, .required = true },
	{ .name = "link",
		.kind = JSON_STRING,
		.read = json_read_choice,
		FIELD(link),
		.choices = links,
		.required = true },
	{ .name = "proxy", .kind = JSON_STRING, .read = read_proxy, .required = true },
	{ .name = "port",
		.kind = JSON_NUMBER,
		.read = json_read_u16,
		FIELD(port),
		.max = UINT16_MAX,
		.required = true },
	{ .name = "gate", .kind = JSON_BOOL, .read = json_read_bool, FIELD(gated) },
	{ .name = "log", TEXT(log) },
	{ .name = "namespace", TEXT(names.namespace) },
	{ .name = "pod", TEXT(names.pod) },
	{ .name = "name", TEXT(names.container) },
	{ .name = "reason", TEXT(reason), .required = true },
	{ 0 },
};

static void record_name(const char *id, char ret[RECORD_NAME_SIZE])
{
	(void) snprintf(ret, RECORD_NAME_SIZE, "%s" SUFFIX, id);
}

static int record_format(const struct record *record, char *buf, size_t size, size_t *ret_len, struct error *err)
{
	char proxy[INET_ADDRSTRLEN];
	(void) inet_ntop(AF_INET, &record->proxy, proxy, sizeof(proxy));

	struct text text = text_init(buf, size);
	text_add(&text, "{\"id\":\"%s\",\"policy\":\"%s\",\"fingerprint\":\"%s\",", record->id, record->policy,
		record->fingerprint);
	text_add(&text, "\"key\":\"%s\",\"state\":\"%s\",", record->key, record_state_name(record->state));
	text_add(&text, "\"pid\":%d,\"start_time\":%" PRIu64 ",\"since\":%" PRId64 ",", (int) record->pid,
		record->start_time, record->since);
	text_add(&text, "\"link\":\"%s\",\"proxy\":\"%s\",\"port\":%u,\"gate\":%s,", record_link_name(record->link),
		proxy, (unsigned) record->port, record->gated ? "true" : "false");
	text_add(&text, "\"log\":\"%s\",\"namespace\":\"%s\",\"pod\":\"%s\",\"name\":\"%s\",\"reason\":", record->log,
		record->names.namespace, record->names.pod, record->names.container);
	text_add_json(&text, record->reason, strlen(record->reason));
	text_add(&text, "}\n");
	if (text.cut)
		return error_set(err, ENAMETOOLONG, "record of container %s", record->id);
	*ret_len = text.len;
	return 0;
}

/* The caller holds the drafts' lock. */
static int record_replace(int dir, const struct record *record, struct error *err)
{
	char text[RECORD_SIZE_MAX], name[RECORD_NAME_SIZE], draft[RECORD_NAME_SIZE + 8];
	size_t len = 0;
	int r = record_format(record, text, sizeof(text), &len, err);
	if (r < 0)
		return r;
	record_name(record->id, name);
	(void) snprintf(draft, sizeof(draft), ".%s.new", record->id);

	_cleanup_close_ int fd = openat(dir, draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "record of container %s", record->id);
	r = io_write_all(fd, text, len, err);
	if (r == 0 && renameat(dir, draft, dir, name) < 0)
		r = error_set(err, errno, "rename");
	if (r < 0) {
		(void) unlinkat(dir, draft, 0);
		return error_wrap(err, "record of container %s", record->id);
	}
	return 0;
}

int record_write(int dir, const struct record *record, struct error *err)
{
	_cleanup_close_ int lock = -1;
	int r = rundir_lock_drafts(dir, true, &lock, err);
	return r < 0 ? r : record_replace(dir, record, err);
}

static int record_parse(const char *name, const char *text, size_t len, struct record *ret, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(name, text, len, false, &json, err);
	if (r < 0)
		return r;
	struct record record = { 0 };
	r = json_read_object(json, json_root(json), keys, JSON_UNKNOWN_PASSES, &record, err);
	if (r < 0)
		return r;
	if (strlen(record.key) != RUNDIR_KEY_SIZE - 1)
		return error_say(err, EINVAL, "%s: key: not a namespace's", name);
	*ret = record;
	return 0;
}

int record_read(int dir, const char *id, struct record *ret, struct error *err)
{
	char name[RECORD_NAME_SIZE];
	record_name(id, name);
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", name);

	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = io_read_all(fd, RECORD_SIZE_MAX, &text, &len, err);
	return r < 0 ? error_wrap(err, "%s", name) : record_parse(name, text, len, ret, err);
}

/* Under the directory's lock, so that of two hooks for one id one sees the other's record. */
int record_reserve(int dir, struct record *record, struct error *err)
{
	_cleanup_close_ int lock = -1;
	int r = rundir_lock_drafts(dir, true, &lock, err);
	if (r < 0)
		return r;

	struct record old;
	if (record_read(dir, record->id, &old, NULL) == 0 && record_alive(&old)) {
		if (old.pid != record->pid || old.start_time != record->start_time)
			return error_say(err, EEXIST, "a container of this id is alive: process %d, policy %s",
				(int) old.pid, old.policy);
		if (old.state != RECORD_STARTING) {
			*record = old;
			return 1;
		}
	}
	return record_replace(dir, record, err);
}

void record_remove(int dir, const char *id)
{
	char name[RECORD_NAME_SIZE];
	record_name(id, name);
	(void) unlinkat(dir, name, 0);
}

bool record_alive(const struct record *record)
{
	return process_same(record->pid, record->start_time);
}

/* The id in a record's file name; false: the file is none. */
static bool record_id(const char *name, char ret[STATE_ID_MAX + 1])
{
	size_t len = strlen(name), suffix = strlen(SUFFIX);
	if (name[0] == '.' || len <= suffix || len - suffix > STATE_ID_MAX || strcmp(name + len - suffix, SUFFIX) != 0)
		return false;
	memcpy(ret, name, len - suffix);
	ret[len - suffix] = '\0';
	return true;
}

int record_each(int dir, int (*fn)(const struct record *record, void *arg), void *arg, struct error *err)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream)
		return error_set(err, errno, "run directory");

	for (const struct dirent *e = readdir(stream); e; e = readdir(stream)) {
		char id[STATE_ID_MAX + 1];
		struct record record;
		if (!record_id(e->d_name, id))
			continue;
		int r = record_read(dir, id, &record, err);
		if (r == -ENOENT || r == -EINVAL || r == -ELOOP || (r == 0 && strcmp(record.id, id) != 0))
			continue;
		if (r == 0)
			r = fn(&record, arg);
		if (r != 0)
			return r;
	}
	return 0;
}
