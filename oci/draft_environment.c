/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says about the container's variables. */
#include <string.h>

#include "oci/bouquet.h"
#include "oci/draft.h"

#define VALUE_MAX 4096

/* POSIX "Environment Variables": what shells can say. */
static bool name_valid(const char *name, size_t len)
{
	if (len == 0 || len > BOUQUET_NAME_MAX || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(name[i] >= '0' && name[i] <= '9') && !(name[i] >= 'A' && name[i] <= 'Z') &&
			!(name[i] >= 'a' && name[i] <= 'z') && name[i] != '_')
			return false;
	return true;
}

/* ld.so(8): they make each program load code, or loaders behave otherwise: not what a policy of connections is for. */
static bool is_loaders(const char *name, size_t len)
{
	return (len >= 3 && memcmp(name, "LD_", 3) == 0) ||
	       (len == strlen("GLIBC_TUNABLES") && memcmp(name, "GLIBC_TUNABLES", len) == 0);
}

static bool has_control(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) bytes[i] < 0x20 || bytes[i] == 0x7f)
			return true;
	return false;
}

static int check_variable(const struct json *json, const struct json_value *v, struct error *err)
{
	if (!name_valid(v->key, v->key_len))
		return json_complain_key(json, v, err,
			"is no name of a variable, expected letters, digits and _, at most %d, the first no digit",
			BOUQUET_NAME_MAX);
	if (is_loaders(v->key, v->key_len))
		return json_complain_key(json, v, err, "is the dynamic loader's (ld.so(8)), which a policy cannot set");
	if (v->len > VALUE_MAX)
		return json_complain(json, v, err, "is longer than %d bytes", VALUE_MAX);
	if (has_control(v->bytes, v->len))
		return json_complain(json, v, err, "has control bytes, which a value of a variable cannot have here");
	return 0;
}

static int read_set(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct draft *draft = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r < 0)
		return r;
	if (value->len > IMAGE_SET_MAX)
		return json_complain(
			json, value, err, "has %u variables, expected at most %d", value->len, IMAGE_SET_MAX);
	size_t size = 0;
	for (const struct json_value *v = value->first; v; v = v->next) {
		r = check_variable(json, v, err);
		if (r < 0)
			return r;
		size += (size_t) v->key_len + 1 + v->len + 1;
	}
	if (size > IMAGE_SET_BYTES_MAX)
		return json_complain(json, value, err, "has %zu bytes of names and values, expected at most %d", size,
			IMAGE_SET_BYTES_MAX);
	draft->set = value;
	return 0;
}

static int check_kept(const struct json *json, const struct json_value *v, struct error *err)
{
	char excerpt[JSON_EXCERPT_MAX];
	const struct bouquet_row *row = bouquet_row(v->bytes, v->len);
	if (!row)
		return json_complain(json, v, err,
			"%s: is none of the variables that are set or taken out (oci-egress env lists them): it is "
			"kept anyway",
			json_excerpt(v, excerpt));
	if (!bouquet_row_may_stay(row))
		return json_complain(json, v, err,
			"%s: is where the image or the engine may have another proxy's address, and credentials with "
			"it, so that it cannot be kept; \"set\" can give it a value",
			json_excerpt(v, excerpt));
	for (const struct json_value *other = v->parent->first; other != v; other = other->next)
		if (other->len == v->len && memcmp(other->bytes, v->bytes, v->len) == 0)
			return json_complain(json, v, err, "%s: is there twice", json_excerpt(v, excerpt));
	return 0;
}

static int read_keep(const struct json *json, const struct json_key *key, const struct json_value *value, void *into,
	struct error *err)
{
	(void) key;
	struct draft *draft = into;
	int r = json_check_elements(json, value, JSON_STRING, err);
	if (r == 0 && value->len > IMAGE_KEEP_MAX)
		return json_complain(
			json, value, err, "has %u variables, expected at most %d", value->len, IMAGE_KEEP_MAX);
	for (const struct json_value *v = value->first; r == 0 && v; v = v->next)
		r = check_kept(json, v, err);
	draft->keep = value;
	return r;
}

static int refuse_both(const struct draft *draft, struct error *err)
{
	char excerpt[JSON_EXCERPT_MAX];
	for (const struct json_value *k = draft->keep ? draft->keep->first : NULL; k; k = k->next)
		for (const struct json_value *s = draft->set ? draft->set->first : NULL; s; s = s->next)
			if (s->key_len == k->len && memcmp(s->key, k->bytes, k->len) == 0)
				return json_complain(draft->json, k, err, "%s: is set as well; remove one of the two",
					json_excerpt(k, excerpt));
	return 0;
}

static const struct json_choice profile_choices[] = {
	{ "none", IMAGE_PROFILE_NONE },
	{ "proxy", IMAGE_PROFILE_PROXY },
	{ "full", IMAGE_PROFILE_FULL },
	{ NULL, 0 },
};

int draft_read_environment(const struct json *json, const struct json_key *key, const struct json_value *value,
	void *into, struct error *err)
{
	static const struct json_key keys[] = {
		{ .name = "profile",
			.kind = JSON_STRING,
			.read = json_read_choice,
			.offset = offsetof(struct draft, image.environment.profile),
			.choices = profile_choices },
		{ .name = "set", .kind = JSON_OBJECT, .read = read_set, .expected = "an object of strings" },
		{ .name = "keep", .kind = JSON_ARRAY, .read = read_keep, .expected = "an array of strings" },
		{ .name = NULL },
	};
	(void) key;
	int r = json_read_object(json, value, keys, JSON_UNKNOWN_REFUSED, into, err);
	return r < 0 ? r : refuse_both(into, err);
}
