/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the real compiler, parser and filter what scripts want to know. A line in, an answer out; "-" is an empty field:
 *
 *     policy HEX                                  the policy from now on  -> "ok", or "bad_policy MESSAGE"
 *     authority HEX DEFAULT_PORT ANSWERS          HOST:PORT; port 0: none is missing, else this one is meant
 *     host HEX PORT ANSWERS                       a host by itself
 *     address TEXT PORT ANSWERS                   an address that came as bytes
 *         -> "allow|deny|bad_request REASON RULE"
 *     all authority|host HEX_ALPHABET MAX HEX_PREFIX HEX_SUFFIX
 *         -> "bytes N" and N bytes: A, D or B for each string of up to MAX bytes over the alphabet, between prefix
 *            and suffix; shorter strings first, then in the alphabet's order; a host on port 443
 *
 * ANSWERS are the addresses that a name resolves to, with commas between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/host.h"
#include "oci/policy.h"
#include "proxy/filter.h"
#include "tests/base/guard.h"
#include "tests/oci/flaw.h"

#define FIELDS_MAX 6
#define LINE_MAX_BYTES (1 << 20)

struct verdict {
	char letter; /* A, D or B */
	struct decision decision;
	host_problem problem;
};

static struct image *image;

static void die(const char *what, const char *about)
{
	(void) fprintf(stderr, "asker: %s: %s\n", what, about);
	exit(2);
}

static unsigned hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;
	if (!at)
		die("not hexadecimal", (const char[]){ c, '\0' });
	return (unsigned) (at - digits);
}

/* In place; returns the length. */
static size_t unhex(char *text)
{
	size_t len = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
	for (size_t i = 0; i < len; i++)
		text[i] = (char) (hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return len;
}

static bool parse_address(const char *text, struct address *ret)
{
	return address_parse4(text, strlen(text), ret) || address_parse6(text, strlen(text), ret);
}

/* Every answer must pass: one that may not be dialled denies them all. */
static enum reason check_answers(const struct host *host, const char *answers)
{
	if (host->kind == HOST_ADDRESS)
		return filter_check_address(image, &host->address, NULL);
	if (strcmp(answers, "-") == 0)
		return REASON_ALLOWED;

	char copy[1024];
	char *save = NULL;
	(void) snprintf(copy, sizeof(copy), "%s", answers);
	for (char *text = strtok_r(copy, ",", &save); text; text = strtok_r(NULL, ",", &save)) {
		struct address address;
		if (!parse_address(text, &address))
			die("not an address", text);
		enum reason reason = filter_check_address(image, &address, NULL);
		if (reason != REASON_ALLOWED)
			return reason;
	}
	return REASON_ALLOWED;
}

static struct verdict judge(host_problem problem, const struct host *host, uint16_t port, const char *answers)
{
	if (problem)
		return (struct verdict){ 'B', { REASON_BAD_REQUEST, NULL }, problem };
	struct decision decision = filter_decide(image, host, port);
	if (decision.reason == REASON_ALLOWED)
		decision.reason = check_answers(host, answers);
	return (struct verdict){ decision.reason == REASON_ALLOWED ? 'A' : 'D', decision, NULL };
}

static struct verdict judge_authority(const char *bytes, size_t len, uint16_t default_port, const char *answers)
{
	struct host host;
	uint16_t port;
	host_problem problem = host_parse_authority(bytes, len, default_port == 0, &host, &port);
	return judge(problem, &host, !problem && port == 0 ? default_port : port, answers);
}

static struct verdict judge_host(const char *bytes, size_t len, uint16_t port, const char *answers)
{
	struct host host;
	host_problem problem = host_parse(bytes, len, &host);
	return judge(problem, &host, port, answers);
}

static struct verdict judge_address(const char *text, uint16_t port)
{
	struct host host = { .kind = HOST_ADDRESS };
	if (!parse_address(text, &host.address))
		die("not an address", text);
	address_format(&host.address, host.name);
	host.len = (uint8_t) strlen(host.name);
	return judge(NULL, &host, port, "-");
}

static void print_verdict(struct verdict verdict)
{
	const char *class = verdict.letter == 'A' ? "allow" : verdict.letter == 'D' ? "deny" : "bad_request";
	const char *rule = verdict.decision.rule ? image_string(image, verdict.decision.rule->text) : "-";
	printf("%s %s %s\n", class, reason_code(verdict.decision.reason), verdict.problem ? verdict.problem : rule);
}

static void set_policy(char *hex)
{
	size_t len = unhex(hex);
	struct error err = { 0 };
	free(image);
	image = NULL;
	if (policy_compile("policy.json", "test", hex, len, IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0) {
		printf("bad_policy %s\n", err.msg);
		return;
	}
	const struct image *checked;
	if (image_check(image, image->size, &checked, &err) < 0)
		die("the compiled image fails its own check", err.msg);
	if (image_flaw(image))
		die("the compiled image has a flaw", image_flaw(image));
	printf("ok\n");
}

/* The next string in order, over the alphabet's indices; false behind the last of this length. */
static bool next_string(size_t *index, size_t len, size_t base)
{
	for (size_t i = len; i > 0; i--) {
		if (++index[i - 1] < base)
			return true;
		index[i - 1] = 0;
	}
	return false;
}

static void judge_all(bool authority, char *alphabet, size_t max, char *prefix, char *suffix)
{
	size_t base = unhex(alphabet), n_prefix = unhex(prefix), n_suffix = unhex(suffix);
	size_t total = 1;
	for (size_t i = 1, power = 1; i <= max; i++)
		total += power *= base;
	printf("bytes %zu\n", total);

	size_t index[16] = { 0 };
	char bytes[256];
	if (max > ARRAY_SIZE(index) || n_prefix + max + n_suffix > sizeof(bytes))
		die("too long", suffix);
	memcpy(bytes, prefix, n_prefix);
	for (size_t len = 0; len <= max; len++) {
		size_t whole = n_prefix + len + n_suffix;
		memcpy(bytes + n_prefix + len, suffix, n_suffix);
		do {
			for (size_t i = 0; i < len; i++)
				bytes[n_prefix + i] = alphabet[index[i]];
			const char *input = guarded(bytes, whole);
			struct verdict verdict =
				authority ? judge_authority(input, whole, 0, "-") : judge_host(input, whole, 443, "-");
			(void) putchar(verdict.letter);
		} while (next_string(index, len, base));
	}
}

static uint16_t port_of(const char *text)
{
	return (uint16_t) strtoul(text, NULL, 10);
}

static void answer(char *fields[FIELDS_MAX], size_t n)
{
	const char *verb = fields[0];
	if (strcmp(verb, "policy") == 0 && n == 2) {
		set_policy(fields[1]);
		return;
	}
	if (!image)
		die("no policy yet", verb);
	if (strcmp(verb, "all") == 0 && n == 6) {
		judge_all(strcmp(fields[1], "authority") == 0, fields[2], strtoul(fields[3], NULL, 10), fields[4],
			fields[5]);
	} else if (strcmp(verb, "authority") == 0 && n == 4) {
		size_t len = unhex(fields[1]);
		print_verdict(judge_authority(guarded(fields[1], len), len, port_of(fields[2]), fields[3]));
	} else if (strcmp(verb, "host") == 0 && n == 4) {
		size_t len = unhex(fields[1]);
		print_verdict(judge_host(guarded(fields[1], len), len, port_of(fields[2]), fields[3]));
	} else if (strcmp(verb, "address") == 0 && n == 4) {
		print_verdict(judge_address(fields[1], port_of(fields[2])));
	} else {
		die("unknown question", verb);
	}
}

int main(void)
{
	static char line[LINE_MAX_BYTES];
	while (fgets(line, sizeof(line), stdin)) {
		char *fields[FIELDS_MAX];
		size_t n = 0;
		char *save = NULL;
		for (char *field = strtok_r(line, " \n", &save); field && n < FIELDS_MAX;
			field = strtok_r(NULL, " \n", &save))
			fields[n++] = field;
		if (n > 0)
			answer(fields, n);
		(void) fflush(stdout);
	}
	free(image);
	return 0;
}
