/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/naming.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct naming names_of(const char *annotations)
{
	char text[4096];
	int len = snprintf(text, sizeof(text),
		"{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"status\":\"created\",\"pid\":1,\"bundle\":\"/"
		"b\",\"annotations\":{%s}}",
		annotations);
	struct state *state = NULL;
	struct naming naming;
	assert_int_equal(state_parse(text, (size_t) len, &state, NULL), 0);
	naming_read(state, &naming);
	state_free(state);
	return naming;
}

static void assert_names(const char *annotations, const char *expected)
{
	char buf[NAMING_TEXT_SIZE];
	struct naming naming = names_of(annotations);
	assert_string_equal(naming_format(&naming, false, buf), expected);
	assert_int_equal(naming_known(&naming), expected[0] != '\0');
}

#define POD(ns, pod, name)                                                                   \
	"\"io.kubernetes.pod.namespace\":\"" ns "\",\"io.kubernetes.pod.name\":\"" pod "\"," \
	"\"io.kubernetes.container.name\":\"" name "\""

static void reads_what_engines_set(void **state)
{
	(void) state;
	assert_names("", "");
	assert_names(POD("shop", "web-1", "app"), "shop/web-1/app");
	assert_names("\"io.kubernetes.cri.sandbox-namespace\":\"shop\",\"io.kubernetes.cri.sandbox-name\":\"web-1\","
		     "\"io.kubernetes.cri.container-name\":\"app\"",
		"shop/web-1/app");
	assert_names("\"nerdctl/name\":\"lucid_noether\"", "lucid_noether");
	assert_names("\"io.kubernetes.cri.container-name\":\"late\",\"io.kubernetes.container.name\":\"app\"", "app");
}

/* An annotation is a stranger's. */
static void leaves_out_what_is_no_name(void **state)
{
	(void) state;
	assert_names(POD("sh/op", "web\\u001b[2J", "app\\n"), "");
	assert_names(POD("..", "-x", "\\u00e9"), "");
	assert_names(POD("", "a\\\"b", "a b"), "");

	char annotations[512], name[NAMING_MAX + 2];
	memset(name, 'a', sizeof(name));
	name[NAMING_MAX + 1] = '\0';
	(void) snprintf(annotations, sizeof(annotations), "\"nerdctl/name\":\"%s\"", name);
	assert_names(annotations, "");
	name[NAMING_MAX] = '\0';
	(void) snprintf(annotations, sizeof(annotations), "\"nerdctl/name\":\"%s\"", name);
	assert_names(annotations, name);
}

static void knows_each_way_to_say_it(void **state)
{
	(void) state;
	char buf[NAMING_TEXT_SIZE];
	struct naming naming = names_of(POD("shop", "web-1", "app"));
	assert_string_equal(naming_format(&naming, true, buf), "shop/web-1");
	for (const char *const *text =
			(const char *const[]){ "app", "web-1", "shop/web-1", "web-1/app", "shop/web-1/app", NULL };
		*text; text++)
		assert_true(naming_is(&naming, *text));
	for (const char *const *text =
			(const char *const[]){ "", "shop", "ap", "web", "shop/app", "other/web-1", NULL };
		*text; text++)
		assert_false(naming_is(&naming, *text));

	naming = names_of("\"nerdctl/name\":\"box\"");
	assert_string_equal(naming_format(&naming, true, buf), "box");
	assert_true(naming_is(&naming, "box"));
	assert_false(naming_is(&naming, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_engines_set),
		cmocka_unit_test(leaves_out_what_is_no_name),
		cmocka_unit_test(knows_each_way_to_say_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
