/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "tests/oci/test.h"

static int parse(const char *text, struct state **ret, struct error *err)
{
	_cleanup_free_ char *copy = copy_of(text, strlen(text)); /* the state must not point into it */
	return state_parse(copy, strlen(text), ret, err);
}

static void test_good(void **unused)
{
	(void) unused;
	struct state *state = NULL;
	struct error err = { 0 };
	assert_int_equal(parse("{\"ociVersion\":\"1.0\",\"id\":\"a.b_c+d-E9\",\"status\":\"created\",\"pid\":4194304,"
			       "\"bundle\":\"/\",\"root\":[1.5,{\"x\":null}],"
			       "\"annotations\":{\"oci-egress.policy\":\"npm\",\"k\\u00e4y\":\"\",\"z\":\"\\\"\"}}",
				 &state, &err),
		0);
	assert_string_equal(state->id, "a.b_c+d-E9");
	assert_string_equal(state->status, "created");
	assert_string_equal(state->bundle, "/");
	assert_int_equal(state->pid, 4194304);
	assert_int_equal(state->n_annotations, 3);
	assert_string_equal(state_annotation(state, "oci-egress.policy"), "npm");
	assert_string_equal(state_annotation(state, "k\xc3\xa4y"), "");
	assert_string_equal(state_annotation(state, "z"), "\"");
	assert_null(state_annotation(state, "oci-egress"));
	state_free(state);
}

static void test_without_pid(void **unused)
{
	(void) unused;
	static const char *const texts[] = {
		"{\"id\":\"a\",\"status\":\"stopped\",\"bundle\":\"/b\"}",
		"{\"id\":\"a\",\"status\":\"stopped\",\"bundle\":\"/b\",\"annotations\":null}",
		"{\"id\":\"a\",\"pid\":0,\"bundle\":\"/b\",\"status\":\"stopped\",\"annotations\":{}}",
		"{\"id\":\"a\",\"status\":\"creating\",\"bundle\":\"/b\"}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct state *state = NULL;
		struct error err = { 0 };
		assert_int_equal(parse(texts[i], &state, &err), 0);
		assert_int_equal(state->pid, 0);
		assert_int_equal(state->n_annotations, 0);
		state_free(state);
	}
	state_free(NULL);
}

/* Everything around the member that a row is about. */
#define WITH(member) "{\"id\":\"a\",\"status\":\"created\",\"bundle\":\"/b\"," member "}"
#define ID(id) "{\"status\":\"created\",\"bundle\":\"/b\",\"id\":" id "}"
#define ID_MESSAGE "expected 1 to 200 of A-Z a-z 0-9 _ . + -, the first a letter or digit, and no \"..\""

static void test_bad(void **unused)
{
	(void) unused;
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ ID("\"\""), "state:1:40: id: is \"\", " ID_MESSAGE },
		{ ID("\".a\""), "state:1:40: id: is \".a\", " ID_MESSAGE },
		{ ID("\"-a\""), "state:1:40: id: is \"-a\", " ID_MESSAGE },
		{ ID("\"a..b\""), "state:1:40: id: is \"a..b\", " ID_MESSAGE },
		{ ID("\"a/b\""), "state:1:40: id: is \"a/b\", " ID_MESSAGE },
		{ ID("\"a\\nb\""), "state:1:40: id: is \"a\\x0ab\", " ID_MESSAGE },
		{ ID("\"\xc3\xa4\""), "state:1:40: id: is \"\\xc3\\xa4\", " ID_MESSAGE },
		{ ID("null"), "state:1:40: id: is null, expected a string" },
		{ "{\"status\":\"created\",\"bundle\":\"/b\"}", "state:1:1: id: is missing, expected a string" },
		{ "{\"id\":\"a\",\"status\":\"created\"}", "state:1:1: bundle: is missing, expected a string" },
		{ "{\"id\":\"a\",\"bundle\":\"/b\"}", "state:1:1: status: is missing, expected a string" },
		{ "{\"id\":\"a\",\"status\":\"paused\",\"bundle\":\"/b\"}",
			"state:1:20: status: is \"paused\", expected creating, created, running or stopped" },
		{ "{\"id\":\"a\",\"status\":\"created\",\"bundle\":\"b\"}",
			"state:1:39: bundle: is \"b\", expected an absolute path" },
		{ WITH("\"pid\":0"), "state:1:50: pid: is 0, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":-1"), "state:1:50: pid: is -1, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":4194305"), "state:1:50: pid: is 4194305, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":4294967297"), "state:1:50: pid: is 4294967297, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":18446744073709551617"),
			"state:1:50: pid: is 18446744073709551617, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":42.0"), "state:1:50: pid: is 42.0, expected an integer from 1 to 4194304" },
		{ WITH("\"pid\":null"), "state:1:50: pid: is null, expected a number" },
		{ WITH("\"ociVersion\":1"), "state:1:57: ociVersion: is a number, expected a string" },
		{ WITH("\"annotations\":[]"), "state:1:58: annotations: is an array, expected an object of strings" },
		{ WITH("\"annotations\":{\"a\":1}"), "state:1:63: annotations.a: is a number, expected a string" },
		{ WITH("\"annotations\":{\"oci-egress.polcy\":\"x\"}"),
			"state:1:59: annotations.oci-egress.polcy: unknown key, did you mean \"oci-egress.policy\"?" },
		{ WITH("\"annotations\":{\"oci-egress.allow\":\"x\"}"),
			"state:1:59: annotations.oci-egress.allow: unknown key, expected one of: oci-egress.policy" },
		{ WITH("\"annotations\":{\"oci-egress.\":\"x\"}"),
			"state:1:59: annotations.oci-egress.: unknown key, expected one of: oci-egress.policy" },
		{ WITH("\"a\":1 // no"),
			"state:1:50: not JSON: probable comment found in input text, comments are not enabled." },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct state *state = NULL;
		struct error err = { 0 };
		assert_int_equal(parse(rows[i].text, &state, &err), -EINVAL);
		assert_null(state);
		assert_message(&err, rows[i].message);
	}
}

static void test_id_length(void **unused)
{
	(void) unused;
	char text[512];
	for (int len = STATE_ID_MAX; len <= STATE_ID_MAX + 1; len++) {
		struct state *state = NULL;
		struct error err = { 0 };
		(void) snprintf(
			text, sizeof(text), "{\"id\":\"%0*d\",\"status\":\"created\",\"bundle\":\"/b\"}", len, 7);
		assert_int_equal(parse(text, &state, &err), len == STATE_ID_MAX ? 0 : -EINVAL);
		if (state)
			assert_int_equal(strlen(state->id), STATE_ID_MAX);
		state_free(state);
	}
}

static void test_size(void **unused)
{
	(void) unused;
	size_t len = STATE_SIZE_MAX + 1;
	_cleanup_free_ char *text = malloc(len);
	memset(text, ' ', len);
	static const char body[] = "{\"id\":\"a\",\"status\":\"created\",\"bundle\":\"/b\"}";
	memcpy(text, body, sizeof(body) - 1);
	struct state *state = NULL;
	struct error err = { 0 };
	assert_int_equal(state_parse(text, len, &state, &err), -EINVAL);
	assert_message(&err, "state: longer than 16777216 bytes");
	assert_int_equal(state_parse(text, len - 1, &state, &err), 0);
	state_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_without_pid),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_id_length),
		cmocka_unit_test(test_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
