/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/toml_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int toml_bytes_add(struct toml_bytes *bytes, const char *p, size_t len)
{
	if (len > bytes->size - bytes->len) {
		size_t size = 2 * bytes->size + len + 64;
		char *more = realloc(bytes->p, size);
		if (!more)
			return -ENOMEM;
		bytes->p = more;
		bytes->size = size;
	}
	memcpy(bytes->p + bytes->len, p, len);
	bytes->len += len;
	return 0;
}

static int add(struct toml_bytes *into, const char *p, size_t len, struct error *err)
{
	return into && toml_bytes_add(into, p, len) < 0 ? error_set(err, ENOMEM, "TOML") : 0;
}

/* Code points as UTF-8, RFC 3629 section 3. */
static int add_code_point(struct toml_bytes *into, uint32_t c, struct error *err)
{
	char buf[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n; i-- > 1; c >>= 6)
		buf[i] = (char) (0x80 | (c & 0x3f));
	buf[0] = (char) (first[n] | c);
	return add(into, buf, n, err);
}

static int scan_code_point(
	const struct toml *toml, size_t *at, size_t digits, struct toml_bytes *into, struct error *err)
{
	uint32_t c = 0;
	for (size_t i = 0; i < digits; i++, ++*at) {
		if (*at >= toml->len || !isxdigit((unsigned char) toml->text[*at]))
			return toml_complain(toml, *at, err, "expected %zu hexadecimal digits", digits);
		unsigned char digit = (unsigned char) toml->text[*at];
		c = c << 4 | (uint32_t) (isdigit(digit) ? digit - '0' : tolower(digit) - 'a' + 10);
	}
	/* Not that TOML forbids the first: it ends strings here. */
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return toml_complain(toml, *at, err, "U+%04X stands for no character", c);
	return add_code_point(into, c, err);
}

/* Behind a backslash at the end of a line, all white space up to the next character goes. False: it is not at one. */
static bool skip_line_end(const struct toml *toml, size_t *at)
{
	size_t i = *at;
	while (i < toml->len && (toml->text[i] == ' ' || toml->text[i] == '\t'))
		i++;
	if (i >= toml->len || (toml->text[i] != '\n' && toml->text[i] != '\r'))
		return false;
	while (i < toml->len && strchr(" \t\r\n", toml->text[i]))
		i++;
	*at = i;
	return true;
}

/* *at is behind the backslash. */
static int scan_escape(const struct toml *toml, size_t *at, bool multiline, struct toml_bytes *into, struct error *err)
{
	static const char letters[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
	if (multiline && skip_line_end(toml, at))
		return 0;
	char c = *at < toml->len ? toml->text[*at] : '\0';
	const char *letter = c ? strchr(letters, c) : NULL;
	if (!letter && c != 'u' && c != 'U')
		return toml_complain(toml, *at, err, "unknown escape in a string");
	++*at;
	if (letter)
		return add(into, &meant[letter - letters], 1, err);
	return scan_code_point(toml, at, c == 'u' ? 4 : 8, into, err);
}

static bool is_tripled(const struct toml *toml, size_t at)
{
	char quote = toml->text[at];
	return toml->len - at >= 3 && toml->text[at + 1] == quote && toml->text[at + 2] == quote;
}

/* Up to two quotes may stand before the three that end a multi-line string. */
static int end_tripled(const struct toml *toml, size_t *at, struct toml_bytes *into, struct error *err)
{
	int r = 0;
	for (int extra = 0; extra < 2 && *at + 3 < toml->len && toml->text[*at + 3] == toml->text[*at] && r == 0;
		extra++)
		r = add(into, &toml->text[(*at)++], 1, err);
	*at += 3;
	return r;
}

int toml_scan_string(const struct toml *toml, size_t *at, bool multiline, struct toml_bytes *into, struct error *err)
{
	size_t start = *at;
	char quote = toml->text[start];
	bool tripled = multiline && is_tripled(toml, start);
	*at += tripled ? 3 : 1;
	if (tripled && *at < toml->len && toml->text[*at] == '\r')
		++*at;
	if (tripled && *at < toml->len && toml->text[*at] == '\n')
		++*at;

	int r = 0;
	while (r == 0 && *at < toml->len) {
		char c = toml->text[*at];
		if (c == quote && !tripled) {
			++*at;
			return 0;
		}
		if (c == quote && is_tripled(toml, *at))
			return end_tripled(toml, at, into, err);
		if (!tripled && (c == '\n' || c == '\r'))
			break;
		++*at;
		if (c == '\\' && quote == '"')
			r = scan_escape(toml, at, tripled, into, err);
		else
			r = add(into, &c, 1, err);
	}
	return r < 0 ? r : toml_complain(toml, start, err, "a string without an end");
}

static bool is_scalar_byte(char c)
{
	return isalnum((unsigned char) c) || (c && strchr("+-_.:", c));
}

/* A date may have a space in the place of the T before the time (RFC 3339 section 5.6). */
static bool is_date_before_time(const struct toml *toml, size_t start, size_t end)
{
	const char *p = toml->text + start;
	return end - start == 10 && p[4] == '-' && p[7] == '-' && toml->len - end > 1 && p[10] == ' ' &&
	       isdigit((unsigned char) p[11]);
}

int toml_scan_scalar(const struct toml *toml, size_t *at, struct error *err)
{
	static const char *const words[] = { "true", "false", "inf", "nan" };
	size_t start = *at, end = start;
	while (end < toml->len && is_scalar_byte(toml->text[end]))
		end++;
	if (is_date_before_time(toml, start, end))
		for (end++; end < toml->len && is_scalar_byte(toml->text[end]);)
			end++;

	const char *p = toml->text + start;
	size_t sign = end > start && (*p == '+' || *p == '-');
	bool good = end > start + sign && isdigit((unsigned char) p[sign]);
	for (size_t i = sign ? 2 : 0; i < sizeof(words) / sizeof(words[0]) && !good; i++)
		good = end - start - sign == strlen(words[i]) && memcmp(p + sign, words[i], strlen(words[i])) == 0;
	if (!good)
		return toml_complain(toml, start, err, "expected a value");
	*at = end;
	return 0;
}
