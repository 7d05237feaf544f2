/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/stack.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define STACK_ALIGN 16 /* at the entry point, both psABIs; more than i386 asks for */

/* The words of the vector, by index. */
struct vector {
	size_t argc;
	size_t env, n_env;
	size_t aux, n_aux; /* n_aux counts words, AT_NULL's two included */
	size_t n;          /* all */
};

static uint64_t word_get(const struct stack *s, size_t index)
{
	if (s->word == 4) {
		uint32_t v;
		memcpy(&v, s->bytes + index * 4, sizeof(v));
		return v;
	}
	uint64_t v;
	memcpy(&v, s->bytes + index * 8, sizeof(v));
	return v;
}

static void word_put(unsigned char *at, unsigned word, uint64_t value)
{
	if (word == 4) {
		uint32_t v = (uint32_t) value;
		memcpy(at, &v, sizeof(v));
	} else {
		memcpy(at, &value, sizeof(value));
	}
}

/* Whatever the process around it has done to these bytes meanwhile, no index leaves them. */
static int vector_parse(const struct stack *s, struct vector *ret, struct error *err)
{
	if ((s->word != 4 && s->word != 8) || s->len < s->word)
		return error_say(err, EINVAL, "initial stack of %zu bytes", s->len);

	size_t words = s->len / s->word;
	struct vector v = { 0 };
	uint64_t argc = word_get(s, 0);
	if (words < 2 || argc > words - 2 || word_get(s, (size_t) argc + 1) != 0)
		return error_say(err, EINVAL, "initial stack: argv has no end");
	v.argc = (size_t) argc;

	v.env = v.argc + 2;
	size_t i = v.env;
	while (i < words && word_get(s, i) != 0)
		i++;
	if (i >= words)
		return error_say(err, EINVAL, "initial stack: the environment has no end");
	v.n_env = i - v.env;

	v.aux = i + 1;
	for (i = v.aux; i + 1 < words && word_get(s, i) != AT_NULL; i += 2)
		;
	if (i + 1 >= words)
		return error_say(err, EINVAL, "initial stack: the auxiliary vector has no end");
	v.n_aux = i + 2 - v.aux;
	v.n = i + 2;
	*ret = v;
	return 0;
}

/* A string of the environment, which must end inside the bytes; NULL where it does not. */
static char *variable(const struct stack *s, const struct vector *v, size_t index)
{
	uint64_t address = word_get(s, v->env + index);
	if (address < s->sp || address - s->sp >= s->len)
		return NULL;
	char *text = (char *) s->bytes + (address - s->sp);
	return memchr(text, '\0', s->len - (size_t) (address - s->sp)) ? text : NULL;
}

/* What stays: how many variables, and the bytes of their strings. */
static int kept_measure(const struct stack *s, const struct vector *v, const struct bouquet *bouquet, size_t *ret_n,
	size_t *ret_bytes, struct error *err)
{
	size_t n = 0, bytes = 0, all = 0;
	for (size_t i = 0; i < v->n_env; i++) {
		const char *text = variable(s, v, i);
		if (!text)
			return error_say(err, EINVAL, "initial stack: variable %zu lies outside", i);
		size_t len = strlen(text) + 1;
		all += len;
		if (all > s->len) /* each string has one pointer, else this would not end for hours */
			return error_say(err, EINVAL, "initial stack: variables overlap");
		if (!bouquet_replaces(bouquet, text)) {
			n++;
			bytes += len;
		}
	}
	*ret_n = n;
	*ret_bytes = bytes;
	return 0;
}

struct writer {
	const struct stack_new *out;
	unsigned word;
	size_t vector, strings; /* offsets of what comes next */
};

static void write_word(struct writer *w, uint64_t value)
{
	word_put(w->out->bytes + w->vector, w->word, value);
	w->vector += w->word;
}

static void write_variable(struct writer *w, const char *text)
{
	size_t len = strlen(text) + 1;
	write_word(w, w->out->sp + w->strings);
	memcpy(w->out->bytes + w->strings, text, len);
	w->strings += len;
}

static void stack_write(
	const struct stack *old, const struct vector *v, const struct bouquet *bouquet, const struct stack_new *out)
{
	struct writer w = { .out = out, .word = old->word, .strings = (size_t) (out->env_start - out->sp) };

	for (size_t i = 0; i < v->env; i++)
		write_word(&w, word_get(old, i));
	for (size_t i = 0; i < v->n_env; i++) {
		const char *text = variable(old, v, i);
		if (!bouquet_replaces(bouquet, text))
			write_variable(&w, text);
	}
	for (size_t i = 0; i < bouquet->n; i++)
		write_variable(&w, bouquet_text(bouquet, i));
	write_word(&w, 0);
	for (size_t i = 0; i < v->n_aux; i++)
		write_word(&w, word_get(old, v->aux + i));
}

/* With what the program has where ours go behind: a copy then, in *ret, the caller's. What is there was measured. */
static int adopt(const struct stack *old, const struct vector *v, const struct bouquet **bouquet, struct bouquet **ret,
	struct error *err)
{
	*ret = NULL;
	if ((*bouquet)->appended == BOUQUET_NONE)
		return 0;
	struct bouquet *mine = malloc(sizeof(*mine));
	if (!mine)
		return error_set(err, ENOMEM, "environment");
	*mine = **bouquet;
	for (size_t i = 0; i < v->n_env; i++) {
		const char *text = variable(old, v, i);
		bouquet_adopt(mine, text, strlen(text));
	}
	*bouquet = *ret = mine;
	return 0;
}

int stack_rebuild(const struct stack *old, const struct bouquet *bouquet, struct stack_new *ret, struct error *err)
{
	_cleanup_free_ struct bouquet *adopted = NULL;
	struct vector v;
	size_t kept = 0, strings = 0;
	int r = vector_parse(old, &v, err);
	if (r == 0)
		r = kept_measure(old, &v, bouquet, &kept, &strings, err);
	if (r == 0)
		r = adopt(old, &v, &bouquet, &adopted, err);
	if (r == 0 && adopted) /* what is too long to adopt is kept */
		r = kept_measure(old, &v, bouquet, &kept, &strings, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < bouquet->n; i++)
		strings += strlen(bouquet_text(bouquet, i)) + 1;

	/* From the top: where the old vector ended, the strings, the vector. */
	uint64_t words = v.env + kept + bouquet->n + 1 + v.n_aux;
	uint64_t top = old->sp + v.n * old->word;
	if (top < strings + words * old->word + STACK_ALIGN)
		return error_say(err, EINVAL, "initial stack at 0x%llx leaves no room", (unsigned long long) old->sp);

	struct stack_new out = { .env_start = top - strings, .env_end = top };
	out.sp = (out.env_start - words * old->word) & ~(uint64_t) (STACK_ALIGN - 1);
	out.len = (size_t) (top - out.sp);
	out.bytes = calloc(1, out.len);
	if (!out.bytes)
		return error_set(err, ENOMEM, "environment");
	stack_write(old, &v, bouquet, &out);
	*ret = out;
	return 0;
}

size_t stack_overwrite(const struct stack *old, const struct bouquet *bouquet, size_t *ret_from, size_t *ret_to)
{
	struct vector v;
	size_t n = 0, from = old->len, to = 0;
	if (vector_parse(old, &v, NULL) < 0)
		return 0;

	for (size_t i = 0; i < v.n_env; i++) {
		char *text = variable(old, &v, i);
		if (!text || !bouquet_replaces(bouquet, text))
			continue;
		const char *ours = bouquet_find(bouquet, text);
		size_t len = strlen(text), ours_len = ours ? strlen(ours) : 0,
		       at = (size_t) (text - (char *) old->bytes);
		memset(text, 0, len);
		if (ours && ours_len <= len)
			memcpy(text, ours, ours_len);
		from = at < from ? at : from;
		to = at + len > to ? at + len : to;
		n++;
	}
	if (n > 0) {
		*ret_from = from;
		*ret_to = to;
	}
	return n;
}
