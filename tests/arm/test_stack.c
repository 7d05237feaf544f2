/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/stack.h"

#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci/policy.h"

#define SP_64 UINT64_C(0x7ffdcafe1230)
#define SP_32 UINT64_C(0xffcafe10)
#define ROOM (4u << 20)

static struct bouquet bouquet;

/* A stack as the kernel lays it out: vector, 32 bytes of randomness and the like, strings. */
struct builder {
	struct stack s;
	size_t vector, strings;
};

static void put(struct builder *b, uint64_t value)
{
	memcpy(b->s.bytes + b->vector, &value, b->s.word); /* little-endian, as all that we run on */
	b->vector += b->s.word;
}

static void put_strings(struct builder *b, const char *const *strings)
{
	for (; *strings; strings++) {
		size_t len = strlen(*strings) + 1;
		put(b, b->s.sp + b->strings);
		memcpy(b->s.bytes + b->strings, *strings, len);
		b->strings += len;
	}
	put(b, 0);
}

static struct stack build(unsigned word, const char *const *argv, const char *const *env)
{
	struct builder b = { .s = { .sp = word == 8 ? SP_64 : SP_32, .word = word } };
	b.s.bytes = calloc(1, ROOM);
	assert_non_null(b.s.bytes);
	size_t argc = 0, n_env = 0;
	while (argv[argc])
		argc++;
	while (env[n_env])
		n_env++;
	b.strings = (1 + argc + 1 + n_env + 1 + 6) * word + 32;
	put(&b, argc);
	put_strings(&b, argv);
	put_strings(&b, env);
	const uint64_t aux[] = { AT_PAGESZ, 4096, AT_RANDOM, b.s.sp + b.vector + 6 * word, AT_NULL, 0 };
	for (size_t i = 0; i < 6; i++)
		put(&b, aux[i]);
	b.s.len = b.strings;
	return b.s;
}

static uint64_t word_at(const struct stack *s, const struct stack_new *n, size_t index)
{
	uint64_t v = 0;
	memcpy(&v, n->bytes + index * s->word, s->word);
	return v;
}

static const char *text_at(const struct stack_new *n, uint64_t address)
{
	assert_true(address >= n->env_start && address < n->env_end);
	return (const char *) n->bytes + (address - n->sp);
}

static void check(unsigned word, const char *const *argv, const char *const *env)
{
	struct stack s = build(word, argv, env);
	struct stack_new n;
	struct error err;
	assert_int_equal(stack_rebuild(&s, &bouquet, &n, &err), 0);
	assert_int_equal(n.sp % 16, 0);
	assert_int_equal(n.env_end, n.sp + n.len);

	size_t i = 0;
	uint64_t old;
	do { /* argc, argv and its end, as they were */
		old = 0;
		memcpy(&old, s.bytes + i * word, word);
		assert_int_equal(word_at(&s, &n, i), old);
	} while (i++ == 0 || old != 0);

	uint64_t next = n.env_start; /* the strings one after the other, in order */
	for (size_t k = 0; env[k]; k++) {
		if (bouquet_replaces(&bouquet, env[k]))
			continue;
		assert_int_equal(word_at(&s, &n, i), next);
		assert_string_equal(text_at(&n, word_at(&s, &n, i++)), env[k]);
		next += strlen(env[k]) + 1;
	}
	for (size_t k = 0; k < bouquet.n; k++) {
		assert_int_equal(word_at(&s, &n, i), next);
		assert_string_equal(text_at(&n, word_at(&s, &n, i++)), bouquet_text(&bouquet, k));
		next += strlen(bouquet_text(&bouquet, k)) + 1;
	}
	assert_int_equal(next, n.env_end);
	assert_int_equal(word_at(&s, &n, i++), 0);
	assert_int_equal(word_at(&s, &n, i), AT_PAGESZ);
	assert_int_equal(word_at(&s, &n, i + 2), AT_RANDOM);
	uint64_t random = word_at(&s, &n, i + 3);
	assert_true(random >= n.env_end && random < s.sp + s.len); /* not overwritten */
	assert_int_equal(word_at(&s, &n, i + 4), AT_NULL);
	free(n.bytes);
	free(s.bytes);
}

static const char *const argv_some[] = { "prog", "", "x y", NULL };
static const char *const env_some[] = { "A=1", "HTTP_PROXY=http://user:secret@h:1", "B", "http_proxy=x", "HTTP_PROXY=2",
	"NO_PROXY=*", "Z=", NULL };
static const char *const none[] = { NULL };

static void test_rebuild(void **state)
{
	(void) state;
	for (unsigned word = 4; word <= 8; word += 4) {
		check(word, argv_some, env_some);
		check(word, argv_some, none);
		check(word, none, none);
	}
}

static void test_huge(void **state)
{
	(void) state;
	static const char *many[100001];
	for (size_t i = 0; i < 100000; i++)
		many[i] = i % 1000 ? "variable=value" : "all_proxy=socks5://u:p@h";
	check(8, argv_some, many);
	check(4, argv_some, many);
	check(8, many, env_some);
}

/* Cut or changed anywhere: an error or a result, nothing outside of the bytes (the sanitizers watch). */
static void test_hostile(void **state)
{
	(void) state;
	for (unsigned word = 4; word <= 8; word += 4) {
		struct stack whole = build(word, argv_some, env_some);
		for (size_t len = 0; len < whole.len; len++) {
			struct stack cut = whole;
			struct stack_new n;
			size_t from, to;
			cut.len = len;
			cut.bytes = malloc(len ? len : 1);
			assert_non_null(cut.bytes);
			memcpy(cut.bytes, whole.bytes, len);
			assert_int_equal(stack_rebuild(&cut, &bouquet, &n, NULL), -EINVAL);
			(void) stack_overwrite(&cut, &bouquet, &from, &to);
			free(cut.bytes);
		}
		for (size_t i = 0; i < whole.len; i++) {
			struct stack_new n;
			unsigned char was = whole.bytes[i];
			whole.bytes[i] ^= 0xff;
			if (stack_rebuild(&whole, &bouquet, &n, NULL) == 0)
				free(n.bytes);
			whole.bytes[i] = was;
		}
		free(whole.bytes);
	}
}

static bool holds(const struct stack *s, const char *word)
{
	return memmem(s->bytes, s->len, word, strlen(word)) != NULL;
}

static void test_overwrite(void **state)
{
	(void) state;
	const char *const env[] = { "A=keepme", "HTTP_PROXY=http://user:secret@a-long-name.example.com:1",
		"no_proxy=secret", "B=keepme", NULL };
	struct stack s = build(8, argv_some, env);
	size_t from, to;
	assert_true(holds(&s, "secret"));
	assert_int_equal(stack_overwrite(&s, &bouquet, &from, &to), 2);
	assert_false(holds(&s, "secret"));
	assert_true(holds(&s, "A=keepme") && holds(&s, "B=keepme") && holds(&s, "x y"));
	assert_true(holds(&s, "HTTP_PROXY=http://198.18.0.2:3128")); /* fits */
	assert_false(holds(&s, "no_proxy"));                         /* does not */
	assert_true(from < to && to <= s.len);
	free(s.bytes);

	s = build(8, argv_some, none);
	assert_int_equal(stack_overwrite(&s, &bouquet, &from, &to), 0);
	free(s.bytes);
}

/* Ours behind what is there, or, where that is too long, nothing of ours under its name; and what is taken out. */
static void test_adopted(void **state)
{
	(void) state;
	static char own[BOUQUET_OWN_MAX + 64];
	static struct bouquet saved;
	static const char policy[] = "{\"environment\":{\"profile\":\"full\"}}";
	struct image *image = NULL;
	saved = bouquet;
	assert_int_equal(policy_compile("F", "p", policy, strlen(policy), IMAGE_ON_FAILURE_OPEN, &image, NULL), 0);
	bouquet_make(image, (struct in_addr){ htonl(0xc6120002) }, 3128, &bouquet);
	const struct bouquet full = bouquet;
	const char *const env[] = { "SSLKEYLOGFILE=secret", "A=b", "JAVA_TOOL_OPTIONS=-Da", "JAVA_TOOL_OPTIONS=-Db",
		NULL };
	struct stack s = build(8, argv_some, env);
	struct stack_new n;
	size_t from, to;
	assert_int_equal(stack_rebuild(&s, &full, &n, NULL), 0);
	assert_non_null(memmem(n.bytes, n.len, "JAVA_TOOL_OPTIONS=-Da -Dhttp.proxyHost", 37));
	assert_null(memmem(n.bytes, n.len, "-Db", 3));
	assert_null(memmem(n.bytes, n.len, "SSLKEYLOGFILE", 13));
	assert_int_equal(stack_overwrite(&s, &full, &from, &to), 3);
	assert_false(holds(&s, "secret"));
	free(n.bytes);
	free(s.bytes);

	bouquet_adopt(&bouquet, "JAVA_TOOL_OPTIONS=-Da", 21);
	check(8, argv_some, (const char *const[]){ "A=b", NULL }); /* ours are as those of full would be */
	memset(own, 'x', sizeof(own) - 1);
	memcpy(own, "JAVA_TOOL_OPTIONS=", 18);
	s = build(8, argv_some, (const char *const[]){ "A=b", own, "C=d", NULL });
	assert_int_equal(stack_rebuild(&s, &full, &n, NULL), 0);
	assert_non_null(memmem(n.bytes, n.len, own, sizeof(own)));
	assert_null(memmem(n.bytes, n.len, "-Dhttp", 6));
	free(n.bytes);
	free(s.bytes);
	free(image);
	bouquet = saved;
}

/* Many pointers to one long string would make the work quadratic. */
static void test_overlap(void **state)
{
	(void) state;
	static const char *many[3001];
	for (size_t i = 0; i < 3000; i++)
		many[i] = "HTTP_PROXY=x";
	struct stack s = build(8, argv_some, many);
	uint64_t first;
	memcpy(&first, s.bytes + 5 * 8, 8);
	for (size_t i = 0; i < 3000; i++)
		memcpy(s.bytes + (5 + i) * 8, &first, 8);
	memset(s.bytes + (first - s.sp) + 12, 'x', 20000); /* the others' bytes, now one string */
	struct stack_new n;
	assert_int_equal(stack_rebuild(&s, &bouquet, &n, NULL), -EINVAL);
	free(s.bytes);
}

int main(void)
{
	struct in_addr addr = { .s_addr = htonl(0xc6120002) };
	bouquet_make(NULL, addr, 3128, &bouquet);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_overwrite),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_overlap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
