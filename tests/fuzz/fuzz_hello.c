/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS ClientHello, at once and in every piece: MORE until the byte that decides, which is not before the one that is
 * asked for where it passes, and the same from there on. Split into other records it has the same name.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/client_hello.h"

#define PIECES_MAX 512

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The bytes lie at the end of an allocation: one too far is seen. */
static enum parse_result parse(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	uint8_t *exact = malloc(len ? len : 1);
	check(exact != NULL);
	if (len)
		memcpy(exact, bytes, len);
	enum parse_result result = client_hello_parse(exact, len, ret);
	free(exact);
	return result;
}

static void check_same(const struct client_hello *a, const struct client_hello *b)
{
	check(a->kind == b->kind);
	if (a->kind == CLIENT_HELLO_NAMED)
		check(a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0);
}

static void check_pieces(const uint8_t *bytes, size_t len, enum parse_result whole, const struct client_hello *wanted)
{
	struct client_hello hello;
	size_t need = 1, n = 0;
	enum parse_result result = PARSE_MORE;
	for (; n <= len && (result = parse(bytes, n, &hello)) == PARSE_MORE; n++) {
		check(hello.need > n && hello.need <= CLIENT_HELLO_MAX);
		check(n < need ? hello.need == need : hello.need > need);
		need = hello.need;
	}
	check(result == whole);
	if (result == PARSE_DONE) {
		check(n == need);
		check_same(&hello, wanted);
	}
}

/* The first record, in two: where it holds the whole hello, or the beginning of one, nothing changes. */
static void check_split(const uint8_t *bytes, size_t len, const struct client_hello *wanted)
{
	size_t content = (size_t) bytes[3] << 8 | bytes[4], first = content / 2;
	struct client_hello hello;
	if (bytes[0] != 22 || len < 5 + content || content < 2)
		return;
	uint8_t *split = malloc(len + 5);
	check(split != NULL);
	memcpy(split, bytes, 5 + first);
	split[3] = (uint8_t) (first >> 8);
	split[4] = (uint8_t) first;
	memcpy(split + 5 + first, bytes, 3);
	split[8 + first] = (uint8_t) ((content - first) >> 8);
	split[9 + first] = (uint8_t) (content - first);
	memcpy(split + 10 + first, bytes + 5 + first, len - 5 - first);
	if (len + 5 <= CLIENT_HELLO_MAX) {
		check(parse(split, len + 5, &hello) == PARSE_DONE);
		check_same(&hello, wanted);
	}
	free(split);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_hello hello = { .kind = CLIENT_HELLO_NONE };
	if (size > CLIENT_HELLO_MAX)
		size = CLIENT_HELLO_MAX;
	enum parse_result result = parse(data, size, &hello);
	check(result != PARSE_MORE || size < CLIENT_HELLO_MAX);
	if (size <= PIECES_MAX)
		check_pieces(data, size, result, &hello);
	if (result == PARSE_DONE && hello.kind != CLIENT_HELLO_NONE && !(data[0] & 0x80))
		check_split(data, size, &hello);
	return 0;
}
