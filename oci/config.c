/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "oci/annotation.h"
#include "oci/json.h"

#define POLICY_VARIABLE "OCI_EGRESS_POLICY="

static void cleanup_config(struct config **config)
{
	config_free(*config);
}
#define _cleanup_config_ __attribute__((cleanup(cleanup_config)))

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->policy_env);
	free(config->policy_annotation);
	free(config->unsafe_annotation);
	free(config);
}

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "read config.json");
}

struct namespace
{
	const struct json_value *type, *path;
};

static int keep_value(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) json;
	(void) err;
	memcpy((char *) into + key->offset, &value, sizeof(value));
	return 0;
}

static int read_namespace(
	const struct json *json, const struct json_value *value, struct config *config, struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "type",
			.kind = JSON_STRING,
			.read = keep_value,
			.offset = offsetof(struct namespace, type),
			.required = true },
		{ .name = "path", .kind = JSON_STRING, .read = keep_value, .offset = offsetof(struct namespace, path) },
		{ .name = NULL },
	};
	struct namespace namespace = { .type = NULL };
	int r = json_read_object(json, value, keys, JSON_UNKNOWN_UNLIKE, &namespace, err);
	if (r < 0)
		return r;
	config->has_user_namespace = config->has_user_namespace || json_is(namespace.type, "user");
	if (!json_is(namespace.type, "network"))
		return 0;
	if (config->has_network_namespace)
		return json_complain(
			json, namespace.type, err, "is \"network\" a second time, expected one network namespace");
	config->has_network_namespace = true;
	config->has_network_path = namespace.path && namespace.path->len > 0;
	return 0;
}

static int read_namespaces(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	(void) key;
	int r = json_check_elements(json, value, JSON_OBJECT, err);
	for (const struct json_value *v = value->first; v && r == 0; v = v->next)
		r = read_namespace(json, v, into, err);
	return r;
}

static int read_seccomp(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) json;
	(void) key;
	(void) value;
	(void) err;
	struct config *config = into;
	config->has_seccomp = true;
	return 0;
}

static int read_net_devices(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	(void) key;
	struct config *config = into;
	config->has_net_devices = value->first != NULL;
	return json_check_elements(json, value, JSON_OBJECT, err);
}

static int read_linux(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "namespaces",
			.kind = JSON_ARRAY,
			.read = read_namespaces,
			.expected = "an array of objects",
			.null_is_absent = true },
		{ .name = "netDevices",
			.kind = JSON_OBJECT,
			.read = read_net_devices,
			.expected = "an object of objects",
			.null_is_absent = true },
		{ .name = "seccomp", .kind = JSON_OBJECT, .read = read_seccomp, .null_is_absent = true },
		{ .name = NULL },
	};
	(void) key;
	return json_read_object(json, value, keys, JSON_UNKNOWN_UNLIKE, into, err);
}

static int read_env(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct config *config = into;
	size_t len = strlen(POLICY_VARIABLE);
	const struct json_value *found = NULL;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0)
		return r;
	for (const struct json_value *v = value->first; v; v = v->next)
		if (v->len >= len && memcmp(v->bytes, POLICY_VARIABLE, len) == 0)
			found = v;
	if (!found)
		return 0;
	config->policy_env = strndup(found->bytes + len, found->len - len);
	return config->policy_env ? 0 : no_memory(err);
}

/* As runtimes read them, libcap's spelling included. */
static const char *admin_capability(const struct json_value *value)
{
	static const char *const names[] = { "CAP_NET_ADMIN", "CAP_SYS_ADMIN" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = names[i], *plain = name + strlen("CAP_");
		if (value->len > 0 && isdigit((unsigned char) value->bytes[0]))
			return names[0]; /* libcap takes numbers: nobody means well by one */
		if ((value->len == strlen(name) && strncasecmp(value->bytes, name, value->len) == 0) ||
			(value->len == strlen(plain) && strncasecmp(value->bytes, plain, value->len) == 0))
			return name;
	}
	return NULL;
}

static int read_capability_set(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	(void) key;
	struct config *config = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0)
		return r;
	for (const struct json_value *v = value->first; v && !config->admin_capability; v = v->next)
		config->admin_capability = admin_capability(v);
	return 0;
}

/* Of every set: what is only in the bounding set comes with a program that has it from its file. */
static int read_capabilities(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
#define SET(set)                                                                                                 \
	{                                                                                                        \
		.name = set, .kind = JSON_ARRAY, .read = read_capability_set, .expected = "an array of strings", \
		.null_is_absent = true                                                                           \
	}
	static const struct json_key keys[] = {
		SET("bounding"),
		SET("effective"),
		SET("permitted"),
		SET("inheritable"),
		SET("ambient"),
		{ .name = NULL },
	};
	(void) key;
	return json_read_object(json, value, keys, JSON_UNKNOWN_UNLIKE, into, err);
}

static int read_process(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "env",
			.kind = JSON_ARRAY,
			.read = read_env,
			.expected = "an array of strings",
			.null_is_absent = true },
		{ .name = "capabilities", .kind = JSON_OBJECT, .read = read_capabilities, .null_is_absent = true },
		{ .name = NULL },
	};
	(void) key;
	return json_read_object(json, value, keys, JSON_UNKNOWN_UNLIKE, into, err);
}

/* Ours are put there. */
static int read_hooks(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
#define STAGE(stage)                                                                                         \
	{                                                                                                    \
		.name = stage, .kind = JSON_ARRAY, .expected = "an array of objects", .null_is_absent = true \
	}
	static const struct json_key keys[] = {
		STAGE("prestart"),
		STAGE("createRuntime"),
		STAGE("createContainer"),
		STAGE("startContainer"),
		STAGE("poststart"),
		STAGE("poststop"),
		{ .name = NULL },
	};
	(void) key;
	return json_read_object(json, value, keys, JSON_UNKNOWN_UNLIKE, into, err);
}

int config_read_process(const struct json *json, const char **ret_admin_capability, struct error *err)
{
	struct config config = { 0 };
	int r = read_process(json, NULL, json_root(json), &config, err);
	*ret_admin_capability = config.admin_capability;
	free(config.policy_env);
	return r;
}

static bool begins(const char *string, const char *with)
{
	return strncmp(string, with, strlen(with)) == 0;
}

bool config_annotation_unsafe(const char *key)
{
	return strcmp(key, "run.oci.seccomp_bpf_data") == 0 || strcmp(key, "run.oci.handler") == 0 ||
	       begins(key, "run.oci.seccomp.") || begins(key, "run.oci.hooks.");
}

static int read_annotations(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	(void) key;
	struct config *config = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0)
		return r;
	const struct json_value *policy = json_member(value, ANNOTATION_POLICY);
	config->policy_annotation = policy ? json_strdup(policy) : NULL;
	if (policy && !config->policy_annotation)
		return no_memory(err);
	for (const struct json_value *v = value->first; v && r == 0; v = v->next)
		r = annotation_check(json, v, err);
	if (r < 0)
		return r;
	for (const struct json_value *v = value->first; v && !config->unsafe_annotation; v = v->next) {
		_cleanup_free_ char *name = strndup(v->key, v->key_len);
		if (!name)
			return no_memory(err);
		if (config_annotation_unsafe(name))
			config->unsafe_annotation = TAKE_PTR(name);
	}
	return 0;
}

int config_read(const struct json *json, struct config **ret, struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "process", .kind = JSON_OBJECT, .read = read_process, .null_is_absent = true },
		{ .name = "linux", .kind = JSON_OBJECT, .read = read_linux, .null_is_absent = true },
		{ .name = "annotations",
			.kind = JSON_OBJECT,
			.read = read_annotations,
			.expected = "an object of strings",
			.null_is_absent = true },
		{ .name = "hooks", .kind = JSON_OBJECT, .read = read_hooks, .null_is_absent = true },
		{ .name = NULL },
	};

	_cleanup_config_ struct config *config = calloc(1, sizeof(*config));
	if (!config)
		return no_memory(err);
	int r = json_read_object(json, json_root(json), keys, JSON_UNKNOWN_UNLIKE, config, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
}

int config_parse(const char *file, const char *text, size_t len, struct config **ret, struct error *err)
{
	if (len > CONFIG_SIZE_MAX)
		return error_say(err, EINVAL, "%s: longer than %u bytes", file, CONFIG_SIZE_MAX);
	_cleanup_json_ struct json *json = NULL;
	int r = json_parse(file, text, len, false, &json, err);
	return r < 0 ? r : config_read(json, ret, err);
}
