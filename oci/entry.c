/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/entry.h"

#include <string.h>

static bool is_blank(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r\n", bytes[i], 4))
			return false;
	return true;
}

static bool has_non_ascii(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) bytes[i] >= 0x80)
			return true;
	return false;
}

static bool is_network(const char *bytes, size_t len)
{
	struct network network;
	return !network_parse(bytes, len, &network);
}

/* What people write who take an entry for something else. NULL: nothing of that kind. */
static const char *misunderstanding(const char *bytes, size_t len)
{
	struct address address;
	if (is_blank(bytes, len))
		return "an empty entry: an empty list already allows or denies nothing";
	if (len == 1 && bytes[0] == '.')
		return "the DNS root is no host: write a host name";
	if (has_non_ascii(bytes, len))
		return "a name with non-ASCII letters: write its A-label, xn--...";
	if (memmem(bytes, len, "://", 3))
		return "a URL: write the host alone, or host:port";
	if (memchr(bytes, '@', len))
		return "a user before the host: write the host alone, or host:port";
	if (is_network(bytes, len) && memchr(bytes, '/', len))
		return "an address range is no entry: list names, and the range under \"networks\" if they resolve "
		       "into it";
	if (memchr(bytes, '/', len))
		return "a path or range: hosts only are allowed or denied; write the host alone, or host:port";
	if (address_parse6(bytes, len, &address))
		return "an IPv6 address without brackets: write [address] or [address]:port";
	return NULL;
}

static const char *wildcard_problem(const char *bytes, size_t len)
{
	if (len == 1)
		return "\"*\" is no entry: an empty \"allow\" denies everything, and nothing allows everything";
	if (bytes[0] != '*' || bytes[1] != '.' || memchr(bytes + 1, '*', len - 1))
		return "a wildcard is \"*.\" at the front, once: it stands for one label";
	return NULL;
}

static const char *wildcard_host_problem(const struct host *host)
{
	if (host->kind != HOST_NAME)
		return "a wildcard in front of an address: write the address alone";
	if (!memchr(host->name, '.', host->len))
		return "too wide: a wildcard needs at least two labels behind it, as in *.example.com";
	return NULL;
}

static const char *parse(const char *bytes, size_t len, struct entry *ret)
{
	struct entry entry = { .wildcard = memchr(bytes, '*', len) != NULL };
	/* "host:*" has no wildcard host: the port's own sentence is the better one */
	const char *colon = memchr(bytes, ':', len), *problem;
	if (entry.wildcard && colon && !memchr(bytes, '*', (size_t) (colon - bytes)))
		entry.wildcard = false;
	if (entry.wildcard && (problem = wildcard_problem(bytes, colon ? (size_t) (colon - bytes) : len)))
		return problem;

	size_t skip = entry.wildcard ? 2 : 0;
	problem = host_parse_authority(bytes + skip, len - skip, false, &entry.host, &entry.port);
	if (!problem && entry.wildcard)
		problem = wildcard_host_problem(&entry.host);
	if (problem)
		return problem;
	*ret = entry;
	return NULL;
}

const char *entry_parse(const char *bytes, size_t len, struct entry *ret)
{
	const char *problem = parse(bytes, len, ret);
	if (!problem)
		return NULL;
	const char *better = misunderstanding(bytes, len);
	return better ? better : problem;
}
