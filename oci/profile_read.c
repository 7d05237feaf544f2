/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/profile_rules.h"

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO: more is cut */
#define ERRNO_UNSET UINT32_MAX

static const struct json_choice actions[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ NULL, 0 },
};

static const struct json_choice operators[] = {
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ NULL, 0 },
};

/* What stands in the document, before it becomes what libseccomp takes. */
struct reading {
	const struct json_value *names, *args, *architectures, *syscalls;
	uint32_t action, errno_ret;
	uint32_t index, op;
	uint64_t value, value_two;
};

static int read_place(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) json;
	(void) err;
	memcpy((char *) into + key->offset, &value, sizeof(struct json_value *));
	return 0;
}

static int read_u64(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < value->len; i++) {
		char c = value->bytes[i];
		if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t) (c - '0'), &n)) {
			char excerpt[JSON_EXCERPT_MAX];
			return json_complain(json, value, err, "is %s, expected an integer of 64 bits without a sign",
				json_excerpt(value, excerpt));
		}
	}
	memcpy((char *) into + key->offset, &n, sizeof(n));
	return 0;
}

#define READING(field) .offset = offsetof(struct reading, field)

/* As JSON_NUMBER with choices: required only where the runtime-spec says so. */
static const struct json_key profile_keys[] = {
	{ "defaultAction", JSON_STRING, json_read_choice, READING(action), .choices = actions, .required = true },
	{ "defaultErrnoRet", JSON_NUMBER, json_read_u32, READING(errno_ret), .max = ERRNO_MAX, .null_is_absent = true },
	{ "architectures", JSON_ARRAY, read_place, READING(architectures), .null_is_absent = true },
	{ "flags", JSON_ARRAY, .null_is_absent = true },
	{ "listenerPath", JSON_STRING, .null_is_absent = true },
	{ "listenerMetadata", JSON_STRING, .null_is_absent = true },
	{ "syscalls", JSON_ARRAY, read_place, READING(syscalls), .null_is_absent = true },
	{ 0 },
};

static const struct json_key rule_keys[] = {
	{ "names", JSON_ARRAY, read_place, READING(names), .null_is_absent = true },
	{ "action", JSON_STRING, json_read_choice, READING(action), .choices = actions, .required = true },
	{ "errnoRet", JSON_NUMBER, json_read_u32, READING(errno_ret), .max = ERRNO_MAX, .null_is_absent = true },
	{ "args", JSON_ARRAY, read_place, READING(args), .null_is_absent = true },
	{ 0 },
};

static const struct json_key arg_keys[] = {
	{ "index", JSON_NUMBER, json_read_u32, READING(index), .max = PROFILE_ARGS_MAX - 1, .required = true },
	{ "value", JSON_NUMBER, read_u64, READING(value), .required = true },
	{ "valueTwo", JSON_NUMBER, read_u64, READING(value_two), .null_is_absent = true },
	{ "op", JSON_STRING, json_read_choice, READING(op), .choices = operators, .required = true },
	{ 0 },
};

/* No profile has such a key, and readers differ in which letters beyond ASCII are one of its own. */
static bool key_is_ascii(const struct json_value *member)
{
	for (uint32_t i = 0; i < member->key_len; i++)
		if (!isascii((unsigned char) member->key[i]))
			return false;
	return true;
}

static int read_object(const struct json *json, const struct json_value *object, const struct json_key *keys,
	struct reading *ret, struct error *err)
{
	*ret = (struct reading){ .errno_ret = ERRNO_UNSET };
	for (const struct json_value *member = object->first; member; member = member->next)
		if (!key_is_ascii(member))
			return json_complain_unknown(json, member, keys, err);
	return json_read_object(json, object, keys, JSON_UNKNOWN_UNLIKE, ret, err);
}

/* What runtimes return where the profile does not say which. */
static uint32_t action_of(const struct reading *reading)
{
	if (reading->action != SCMP_ACT_ERRNO(0) && reading->action != SCMP_ACT_TRACE(0))
		return reading->action;
	return reading->action | (reading->errno_ret == ERRNO_UNSET ? EPERM : reading->errno_ret);
}

static int read_args(
	const struct json *json, const struct json_value *args, struct profile_rule *ret, struct error *err)
{
	if (!args)
		return 0;
	if (args->len > PROFILE_ARGS_MAX)
		return json_complain(json, args, err,
			"%u conditions, expected at most %d, more than which runtimes "
			"do not agree about",
			args->len, PROFILE_ARGS_MAX);
	int r = json_check_elements(json, args, JSON_OBJECT, err);
	for (const struct json_value *arg = args->first; r == 0 && arg; arg = arg->next) {
		struct reading reading;
		r = read_object(json, arg, arg_keys, &reading, err);
		if (r == 0)
			ret->args[ret->n_args++] = (struct scmp_arg_cmp){ reading.index, (enum scmp_compare) reading.op,
				reading.value, reading.value_two };
	}
	return r;
}

static int read_rule(
	const struct json *json, const struct json_value *value, struct profile_rule *ret, struct error *err)
{
	struct reading reading;
	int r = read_object(json, value, rule_keys, &reading, err);
	if (r < 0)
		return r;
	*ret = (struct profile_rule){ .value = value, .names = reading.names, .action = action_of(&reading) };
	r = reading.names ? json_check_elements(json, reading.names, JSON_STRING, err) : 0;
	return r < 0 ? r : read_args(json, reading.args, ret, err);
}

static int read_rules(struct profile *profile, struct error *err)
{
	const struct json_value *syscalls = profile->syscalls;
	if (!syscalls)
		return 0;
	int r = json_check_elements(profile->json, syscalls, JSON_OBJECT, err);
	if (r < 0)
		return r;
	profile->rules = calloc(syscalls->len + 1u, sizeof(*profile->rules));
	if (!profile->rules)
		return error_set(err, ENOMEM, "read seccomp profile");
	for (const struct json_value *rule = syscalls->first; rule; rule = rule->next) {
		r = read_rule(profile->json, rule, &profile->rules[profile->n_rules++], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* libseccomp's own names for them are the runtime-spec's, without the prefix and in small letters. */
static uint32_t architecture_of(const struct json_value *value)
{
	static const char prefix[] = "SCMP_ARCH_";
	size_t skip = sizeof(prefix) - 1;
	char name[32];
	if (value->len <= skip || value->len - skip >= sizeof(name) || memcmp(value->bytes, prefix, skip) != 0)
		return 0;
	size_t n = value->len - skip;
	for (size_t i = 0; i < n; i++)
		name[i] = (char) tolower((unsigned char) value->bytes[skip + i]);
	name[n] = '\0';
	return seccomp_arch_resolve_name(name);
}

static int read_architectures(struct profile *profile, struct error *err)
{
	const struct json *json = profile->json;
	if (!profile->architectures)
		return 0;
	int r = json_check_elements(json, profile->architectures, JSON_STRING, err);
	if (r < 0)
		return r;
	if (profile->architectures->len > PROFILE_ARCHITECTURES_MAX)
		return json_complain(
			json, profile->architectures, err, "too many, expected at most %d", PROFILE_ARCHITECTURES_MAX);
	for (const struct json_value *value = profile->architectures->first; value; value = value->next) {
		char excerpt[JSON_EXCERPT_MAX];
		uint32_t arch = architecture_of(value);
		if (!arch)
			return json_complain(json, value, err, "is %s, expected an architecture that libseccomp knows",
				json_excerpt(value, excerpt));
		profile->archs[profile->n_archs++] = arch;
	}
	return 0;
}

int profile_read(const struct json *json, const struct json_value *seccomp, struct profile *ret, struct error *err)
{
	*ret = (struct profile){ .json = json, .value = seccomp };
	if (seccomp->kind != JSON_OBJECT)
		return json_complain(json, seccomp, err, "is no object, expected a seccomp profile");
	struct reading reading;
	int r = read_object(json, seccomp, profile_keys, &reading, err);
	if (r < 0)
		return r;
	ret->default_action = action_of(&reading);
	ret->architectures = reading.architectures;
	ret->syscalls = reading.syscalls;
	r = read_architectures(ret, err);
	return r < 0 ? r : read_rules(ret, err);
}

void profile_free(struct profile *profile)
{
	free(profile->rules);
}

bool profile_names(const struct profile_rule *rule, const char *name)
{
	if (!rule->names)
		return false;
	for (const struct json_value *v = rule->names->first; v; v = v->next)
		if (json_is(v, name))
			return true;
	return false;
}

const struct profile_rule *profile_dominant(const struct profile *profile, const char *name)
{
	for (size_t i = 0; i < profile->n_rules; i++) {
		const struct profile_rule *rule = &profile->rules[i];
		if (rule->n_args == 0 && profile_counts(profile, rule) && profile_names(rule, name))
			return rule;
	}
	return NULL;
}

bool profile_alternatives(const struct profile_rule *rule)
{
	unsigned seen = 0;
	for (unsigned i = 0; i < rule->n_args; i++) {
		if (seen & 1u << rule->args[i].arg)
			return true;
		seen |= 1u << rule->args[i].arg;
	}
	return false;
}
