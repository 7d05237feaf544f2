/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of where in the text each name is, open addressing: names that are equal are met in the file's order. It is
 * filled by one pass; sorting a block list would take longer than all else of a worker's start.
 */
#include "proxy/hostsfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "proxy/words.h"

struct hostsfile {
	struct words text;
	uint32_t n_slots; /* a power of two, at least twice the names; 0: there are none */
	uint32_t slots[]; /* where in the text a name begins, and 1; 0: free */
};

/* Without the trailing dot. */
static struct words bare(struct words word)
{
	if (words_len(word) > 1 && word.end[-1] == '.')
		word.end--;
	return word;
}

static bool equal(struct words a, struct words b)
{
	return words_len(a) == words_len(b) && strncasecmp(a.at, b.at, words_len(a)) == 0;
}

/* Of what equal() takes for the same. */
static uint32_t hash(struct words name)
{
	uint32_t h = HASH_INIT;
	for (const char *p = name.at; p < name.end; p++) {
		unsigned char c = (unsigned char) *p;
		h = hash_add(h, (unsigned char) (c >= 'A' && c <= 'Z' ? c | 32 : c));
	}
	return h;
}

static struct words name_at(const struct hostsfile *hosts, uint32_t slot)
{
	struct words rest = { .at = hosts->text.at + slot - 1, .end = hosts->text.end };
	struct words line = words_line(&rest);
	return bare(words_next(&line));
}

static bool address_at(const struct hostsfile *hosts, uint32_t slot, struct address *ret)
{
	const char *before = memrchr(hosts->text.at, '\n', slot - 1);
	struct words rest = { .at = before ? before + 1 : hosts->text.at, .end = hosts->text.end };
	struct words line = words_line(&rest);
	return words_address(words_next(&line), ret);
}

static void add(struct hostsfile *hosts, struct words name)
{
	size_t doubles = 0;
	for (uint32_t i = hash(name);; i++) {
		uint32_t *slot = &hosts->slots[i & (hosts->n_slots - 1)];
		if (*slot == 0) {
			*slot = (uint32_t) (name.at - hosts->text.at) + 1;
			return;
		}
		if (equal(name_at(hosts, *slot), name) && ++doubles >= HOSTSFILE_ADDRESSES_MAX)
			return;
	}
}

/* Counts the names; adds them where hosts has room for as many. */
static uint32_t each_name(struct words text, struct hostsfile *hosts)
{
	uint32_t n = 0;
	while (text.at < text.end) {
		struct words line = words_line(&text);
		struct address address;
		if (!words_address(words_next(&line), &address))
			continue;
		for (struct words name = words_next(&line); name.at < name.end; name = words_next(&line)) {
			if (n == HOSTSFILE_NAMES_MAX)
				return n;
			n++;
			if (hosts)
				add(hosts, bare(name));
		}
	}
	return n;
}

int hostsfile_new(const char *text, size_t len, struct hostsfile **ret, struct error *err)
{
	if (len > HOSTSFILE_SIZE_MAX)
		return error_say(err, EFBIG, "hosts file: %zu bytes, at most %u", len, HOSTSFILE_SIZE_MAX);
	struct words all = { .at = text, .end = text + len };
	uint32_t n = each_name(all, NULL), n_slots = 0;
	if (n > 0)
		for (n_slots = 2; n_slots < 2 * n;)
			n_slots *= 2;
	struct hostsfile *hosts = calloc(1, sizeof(*hosts) + n_slots * sizeof(hosts->slots[0]));
	if (!hosts)
		return error_set(err, ENOMEM, "hosts file");
	hosts->text = all;
	hosts->n_slots = n_slots;
	if (n > 0)
		(void) each_name(all, hosts);
	*ret = hosts;
	return 0;
}

void hostsfile_free(struct hostsfile *hosts)
{
	free(hosts);
}

static bool is_known(const struct address *address, const struct address *addresses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(address, &addresses[i]))
			return true;
	return false;
}

size_t hostsfile_find(const struct hostsfile *hosts, const struct host *host, struct address *addresses, size_t max)
{
	if (hosts->n_slots == 0)
		return 0;
	struct words name = { .at = host->name, .end = host->name + host->len };
	size_t n = 0;
	for (uint32_t i = hash(name); n < max; i++) {
		uint32_t slot = hosts->slots[i & (hosts->n_slots - 1)];
		struct address address;
		if (slot == 0)
			break;
		if (equal(name_at(hosts, slot), name) && address_at(hosts, slot, &address) &&
			!is_known(&address, addresses, n))
			addresses[n++] = address;
	}
	return n;
}
