/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked content at once, byte by byte, and as far as is certain at a time, as a client's is read: all three must come
 * to the same content and end at the same byte. Wrapped again it must be decoded to the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/chunked.h"

#define LINE_MAX_BYTES 256

static void check(bool holds)
{
	if (!holds)
		abort();
}

struct outcome {
	enum parse_result result;
	size_t used, len;
	char *content;
};

static size_t all(const struct chunked *chunked, size_t left)
{
	(void) chunked;
	return left;
}

static size_t one(const struct chunked *chunked, size_t left)
{
	(void) chunked;
	(void) left;
	return 1;
}

static size_t certain(const struct chunked *chunked, size_t left)
{
	uint64_t n = chunked_certain(chunked);
	check(n > 0);
	return n < left ? (size_t) n : left;
}

static struct outcome decode(
	const uint8_t *data, size_t size, size_t (*step)(const struct chunked *chunked, size_t left))
{
	struct chunked chunked = { 0 };
	struct outcome ret = { .result = PARSE_MORE, .content = malloc(size ? size : 1) };
	check(ret.content != NULL);
	while (ret.result == PARSE_MORE && ret.used < size) {
		size_t n = step(&chunked, size - ret.used), used, len;
		char *piece = malloc(n);
		check(piece != NULL);
		memcpy(piece, data + ret.used, n);
		ret.result = chunked_decode(&chunked, piece, n, LINE_MAX_BYTES, &used, &len);
		check(used <= n && len <= used && (ret.result != PARSE_MORE || used == n));
		check(step != certain || ret.result != PARSE_DONE || used == n); /* not a byte too many was taken */
		check((ret.result == PARSE_BAD) == (chunked.problem != NULL));
		memcpy(ret.content + ret.len, piece, len);
		ret.used += used;
		ret.len += len;
		free(piece);
	}
	check((ret.result == PARSE_DONE) == (chunked_certain(&chunked) == 0));
	return ret;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
	check(a->result == b->result && a->used == b->used && a->len == b->len);
	check(memcmp(a->content, b->content, a->len) == 0);
}

static void check_wrapped(const struct outcome *outcome)
{
	char *buf = malloc(CHUNKED_FRONT + outcome->len + CHUNKED_BEHIND);
	check(buf != NULL);
	memcpy(buf + CHUNKED_FRONT, outcome->content, outcome->len);
	size_t len;
	const char *chunk = chunked_wrap(buf + CHUNKED_FRONT, outcome->len, true, &len);
	check(chunk >= buf && chunk + len <= buf + CHUNKED_FRONT + outcome->len + CHUNKED_BEHIND);
	struct outcome again = decode((const uint8_t *) chunk, len, certain);
	check(again.result == PARSE_DONE && again.used == len && again.len == outcome->len);
	check(memcmp(again.content, outcome->content, outcome->len) == 0);
	free(again.content);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome at_once = decode(data, size, all), slowly = decode(data, size, one),
		       surely = decode(data, size, certain);
	check_same(&at_once, &slowly);
	check_same(&at_once, &surely);
	check_wrapped(&at_once);
	free(at_once.content);
	free(slowly.content);
	free(surely.content);
	return 0;
}
