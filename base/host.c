/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host.h"

#include <string.h>

#define LABEL_MAX_LEN 63 /* RFC 1035 section 2.3.4 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c; /* ASCII only, whatever the locale */
}

static bool is_label_byte(char c)
{
	c = fold(c);
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static host_problem check_label(const char *label, size_t len)
{
	if (len == 0)
		return "the name has an empty label";
	if (len > LABEL_MAX_LEN)
		return "a label of the name is longer than 63 bytes";
	if (label[0] == '-' || label[len - 1] == '-')
		return "a label of the name begins or ends with a hyphen";
	return NULL;
}

/*
 * Checks all labels; *ret_last is where the last one starts. Bytes come first: what a stranger hides behind a NUL or an
 * escape must not depend on what else is wrong.
 */
static host_problem check_labels(const char *name, size_t len, size_t *ret_last)
{
	for (size_t i = 0; i < len; i++)
		if (!is_label_byte(name[i]) && name[i] != '.')
			return "the host has a byte that no host name has: letters, digits, hyphen, underscore and dot";

	size_t start = 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '.')
			continue;
		host_problem problem = check_label(name + start, i - start);
		if (problem)
			return problem;
		*ret_last = start;
		start = i + 1;
	}
	return NULL;
}

/* "Ends in a number" (WHATWG URL): resolvers read such a name as an address, by rules of inet_aton(3)'s. */
static bool is_numeric_label(const char *label, size_t len)
{
	size_t i = 0;
	while (i < len && is_digit(label[i]))
		i++;
	if (i == len)
		return true;
	if (len < 2 || label[0] != '0' || fold(label[1]) != 'x')
		return false;
	for (i = 2; i < len; i++)
		if (!is_digit(label[i]) && (fold(label[i]) < 'a' || fold(label[i]) > 'f'))
			return false;
	return true;
}

void host_from_address(const struct address *address, struct host *ret)
{
	struct host host = { .kind = HOST_ADDRESS, .address = *address };
	address_format(address, host.name);
	host.len = (uint8_t) strlen(host.name);
	*ret = host;
}

host_problem host_parse(const char *bytes, size_t len, struct host *ret)
{
	if (len == 0)
		return "the host is empty";
	size_t name_len = bytes[len - 1] == '.' ? len - 1 : len;
	if (name_len > HOST_NAME_MAX_LEN)
		return "the name is longer than 253 bytes";

	size_t last = 0;
	host_problem problem = check_labels(bytes, name_len, &last);
	if (problem)
		return problem;

	if (is_numeric_label(bytes + last, name_len - last)) {
		struct address address;
		if (!address_parse4(bytes, len, &address))
			return "the host ends in a number, but is not an IPv4 address of four decimal numbers";
		host_from_address(&address, ret);
		return NULL;
	}

	struct host host = { .kind = HOST_NAME, .len = (uint8_t) name_len };
	for (size_t i = 0; i < name_len; i++)
		host.name[i] = fold(bytes[i]);
	*ret = host;
	return NULL;
}

host_problem host_parse_bracketed(const char *bytes, size_t len, struct host *ret)
{
	struct address address;
	if (!address_parse6(bytes, len, &address))
		return "there is no IPv6 address between the brackets";
	host_from_address(&address, ret);
	return NULL;
}

host_problem host_parse_port(const char *bytes, size_t len, uint16_t *ret)
{
	static const char problem[] = "the port is not a decimal number from 1 to 65535";
	if (len == 0 || len > 5 || bytes[0] == '0')
		return problem;

	unsigned port = 0;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(bytes[i]))
			return problem;
		port = port * 10 + (unsigned) (bytes[i] - '0');
	}
	if (port > UINT16_MAX)
		return problem;
	*ret = (uint16_t) port;
	return NULL;
}

/* Parses the host at the beginning; *ret_used is how many bytes it and its brackets take. */
static host_problem parse_authority_host(const char *bytes, size_t len, struct host *ret, size_t *ret_used)
{
	if (len == 0)
		return "the host is empty";
	if (bytes[0] != '[') {
		const char *colon = memchr(bytes, ':', len);
		*ret_used = colon ? (size_t) (colon - bytes) : len;
		if (colon && memchr(colon + 1, ':', len - *ret_used - 1))
			return "there is more than one colon: an IPv6 address stands between brackets";
		return host_parse(bytes, *ret_used, ret);
	}

	const char *close = memchr(bytes, ']', len);
	if (!close)
		return "there is no closing bracket";
	*ret_used = (size_t) (close - bytes) + 1;
	return host_parse_bracketed(bytes + 1, *ret_used - 2, ret);
}

host_problem host_parse_authority(
	const char *bytes, size_t len, bool need_port, struct host *ret_host, uint16_t *ret_port)
{
	struct host host;
	size_t used;
	host_problem problem = parse_authority_host(bytes, len, &host, &used);
	if (problem)
		return problem;

	uint16_t port = 0;
	if (used == len) {
		if (need_port)
			return "there is no port";
	} else {
		if (bytes[used] != ':')
			return "there is something between the closing bracket and the port";
		problem = host_parse_port(bytes + used + 1, len - used - 1, &port);
		if (problem)
			return problem;
	}
	*ret_host = host;
	*ret_port = port;
	return NULL;
}

bool host_equal(const struct host *a, const struct host *b)
{
	return a->kind == b->kind && a->len == b->len && memcmp(a->name, b->name, a->len) == 0;
}
