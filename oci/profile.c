/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge works on what permits, never by adding a denial to it: with libseccomp a rule without conditions swallows
 * all others of its system call, and of two conditions that overlap the first decides. So socket(2) and socketpair(2)
 * are taken out of each rule that permits, and what the filter permits of it (oci/profile_cells.h) is put in its place;
 * io_uring and socketcall(2) are put under ENOSYS. Only where the default permits are there denials, which then must
 * not meet anything that permits.
 */
#include "oci/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/edit.h"
#include "oci/json_tree.h"
#include "oci/profile_cells.h"
#include "oci/profile_check.h"
#include "oci/profile_rules.h"

/* What i386 and some others reach by socketcall(2) as well, whose arguments no filter sees. */
static const char *const multiplexed[] = { "accept", "accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recv", "recvfrom", "recvmmsg", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
	"setsockopt", "shutdown", "socket", "socketpair", "socketcall", NULL };

/* What becomes of a system call's name in the rules that permit it. */
enum fate {
	CUT,    /* pieces of the rule, within the filter's cells */
	ABSENT, /* the rule says ENOSYS */
	GONE,   /* nothing: one rule in front of all */
};

static const struct subject {
	const char *name;
	enum fate fate;
} subjects[] = {
	{ "socket", CUT },
	{ "socketpair", CUT },
	{ "io_uring_setup", ABSENT },
	{ "io_uring_enter", ABSENT },
	{ "io_uring_register", ABSENT },
	{ "socketcall", GONE },
};

struct merge {
	const struct profile *profile;
	const struct profile_rule *dominant[ARRAY_SIZE(subjects)];
	struct profile_pieces pieces;
	FILE *out;
	bool first; /* nothing is in the array yet that is being written */
};

static void cleanup_merge(struct merge *merge)
{
	profile_pieces_free(&merge->pieces);
}

/* --- the document's own bytes --- */

static void put_value(struct merge *m, const struct json_value *value)
{
	size_t len;
	const char *source = edit_source(m->profile->json, value, &len);
	(void) fwrite(source, 1, len, m->out);
}

/* Key, colon and value. */
static void put_member(struct merge *m, const struct json_value *member)
{
	(void) fwrite(m->profile->json->text + member->key_offset, 1, member->offset - member->key_offset, m->out);
	put_value(m, member);
}

/* --- rules --- */

static void begin_element(struct merge *m)
{
	(void) fputs(m->first ? "" : ",", m->out);
	m->first = false;
}

static void put_args(struct merge *m, const struct scmp_arg_cmp *args, unsigned n)
{
	static const char *const names[] = { [SCMP_CMP_NE] = "NE",
		[SCMP_CMP_LT] = "LT",
		[SCMP_CMP_LE] = "LE",
		[SCMP_CMP_EQ] = "EQ",
		[SCMP_CMP_GE] = "GE",
		[SCMP_CMP_GT] = "GT",
		[SCMP_CMP_MASKED_EQ] = "MASKED_EQ" };
	(void) fputc('[', m->out);
	for (unsigned i = 0; i < n; i++)
		(void) fprintf(m->out, "%s{\"index\":%u,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"SCMP_CMP_%s\"}",
			i ? "," : "", args[i].arg, (unsigned long long) args[i].datum_a,
			(unsigned long long) args[i].datum_b, names[args[i].op]);
	(void) fputc(']', m->out);
}

static void put_errno_rule(struct merge *m, const char *name, int errnum, const struct scmp_arg_cmp *args, unsigned n)
{
	begin_element(m);
	(void) fprintf(m->out, "{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":%d", name, errnum);
	if (n) {
		(void) fputs(",\"args\":", m->out);
		put_args(m, args, n);
	}
	(void) fputc('}', m->out);
}

/* The rule once more, with the cell's name and conditions for its own. */
static void put_piece(struct merge *m, const struct profile_rule *rule, const struct profile_cell *cell)
{
	begin_element(m);
	(void) fprintf(m->out, "{\"names\":[\"%s\"]", cell->name);
	for (const struct json_value *member = rule->value->first; member; member = member->next) {
		if (json_key_is(member, "names") || json_key_is(member, "args"))
			continue;
		(void) fputc(',', m->out);
		put_member(m, member);
	}
	(void) fputs(",\"args\":", m->out);
	put_args(m, cell->args, cell->n_args);
	(void) fputc('}', m->out);
}

static const struct subject *find_subject(const struct json_value *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		if (json_is(name, subjects[i].name))
			return &subjects[i];
	return NULL;
}

/* Is the name taken out of the rule? */
static bool is_taken(const struct merge *m, const struct profile_rule *rule, const struct subject *subject)
{
	if (!profile_counts(m->profile, rule))
		return false;
	const struct profile_rule *dominant = m->dominant[subject - subjects];
	/* Covered by one that permits, a denial meant nothing; now it would. */
	if (subject->fate == CUT && dominant && profile_permits(dominant->action))
		return true;
	/* And where there are denials of ours, it must not meet them but in the same conditions. */
	if (subject->fate == CUT && !dominant && profile_permits(m->profile->default_action))
		return true;
	return profile_permits(rule->action);
}

static bool name_is_taken(const struct merge *m, const struct profile_rule *rule, const struct json_value *name)
{
	const struct subject *subject = find_subject(name);
	return subject && is_taken(m, rule, subject);
}

/* The rule without the names that are taken out of it; nothing where none is left. */
static void put_rest(struct merge *m, const struct profile_rule *rule)
{
	size_t left = 0, taken = 0;
	for (const struct json_value *name = rule->names ? rule->names->first : NULL; name; name = name->next)
		name_is_taken(m, rule, name) ? taken++ : left++;
	if (taken && !left)
		return;

	begin_element(m);
	if (!taken) {
		put_value(m, rule->value);
		return;
	}
	for (const struct json_value *member = rule->value->first; member; member = member->next) {
		(void) fputc(member == rule->value->first ? '{' : ',', m->out);
		if (member != rule->names) {
			put_member(m, member);
			continue;
		}
		(void) fputs("\"names\":", m->out);
		bool first = true;
		for (const struct json_value *name = rule->names->first; name; name = name->next) {
			if (name_is_taken(m, rule, name))
				continue;
			(void) fputc(first ? '[' : ',', m->out);
			first = false;
			put_value(m, name);
		}
		(void) fputc(']', m->out);
	}
	(void) fputc('}', m->out);
}

static int put_subject(
	struct merge *m, const struct profile_rule *rule, const struct subject *subject, struct error *err)
{
	const struct profile_rule *dominant = m->dominant[subject - subjects];
	if (!is_taken(m, rule, subject) || (dominant && dominant != rule))
		return 0;

	if (subject->fate == ABSENT) {
		if (!profile_permits(m->profile->default_action) &&
			m->profile->default_action != SCMP_ACT_ERRNO(ENOSYS))
			put_errno_rule(m, subject->name, ENOSYS, rule->args, rule->n_args);
		return 0;
	}
	if (subject->fate == GONE)
		return 0;
	size_t before = m->pieces.n;
	int r = profile_cut(&m->pieces, rule, subject->name, profile_cells, err);
	/* Ours, beside a default that permits, say EPERM: a harder denial has to be said in their place too. */
	if (r == 0 && profile_rank(rule->action) < profile_rank(SCMP_ACT_ERRNO(0)))
		r = profile_cut(&m->pieces, rule, subject->name, profile_denials, err);
	for (size_t i = before; r == 0 && i < m->pieces.n; i++)
		put_piece(m, rule, &m->pieces.at[i].cell);
	return r;
}

static int put_rule(struct merge *m, const struct profile_rule *rule, struct error *err)
{
	int r = 0;
	put_rest(m, rule);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(subjects); i++)
		if (profile_names(rule, subjects[i].name))
			r = put_subject(m, rule, &subjects[i], err);
	return r < 0 && r != -ENOMEM ? json_complain(m->profile->json, rule->value, err, "%s", err ? err->msg : "") : r;
}

/* --- rules of our own --- */

static bool is_denied(const struct merge *m, const char *name)
{
	const struct profile_rule *dominant = profile_dominant(m->profile, name);
	return dominant && !profile_permits(dominant->action);
}

static bool has_socketcall(const struct profile *profile)
{
	bool found = seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, "socketcall") >= 0;
	for (size_t i = 0; i < profile->n_archs; i++)
		found |= seccomp_syscall_resolve_name_arch(profile->archs[i], "socketcall") >= 0;
	return found;
}

/*
 * With each of these libseccomp permits socketcall(2) with its number, but not where there is a rule for all numbers.
 * That one must come first: else pieces that differ in what socketcall(2) does not show are refused, as if they were
 * there already.
 */
static bool permits_socketcall(const struct profile *profile)
{
	if (profile_permits(profile->default_action))
		return true;
	for (size_t i = 0; i < profile->n_rules; i++)
		for (const char *const *name = multiplexed; *name; name++)
			if (profile_permits(profile->rules[i].action) && profile_names(&profile->rules[i], *name))
				return true;
	return false;
}

/* A rule that says what the default says is passed over, and would cover nothing. */
static void put_socketcall(struct merge *m)
{
	uint32_t other = m->profile->default_action;
	if (has_socketcall(m->profile) && permits_socketcall(m->profile) && !is_denied(m, "socketcall"))
		put_errno_rule(m, "socketcall", other == SCMP_ACT_ERRNO(ENOSYS) ? EPERM : ENOSYS, NULL, 0);
}

static void put_denials(struct merge *m)
{
	if (!profile_permits(m->profile->default_action))
		return;
	for (const struct profile_cell *cell = profile_denials; cell->name; cell++)
		if (!is_denied(m, cell->name) && !profile_pieces_cover(&m->pieces, cell))
			put_errno_rule(m, cell->name, EPERM, cell->args, cell->n_args);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		if (subjects[i].fate == ABSENT && !is_denied(m, subjects[i].name))
			put_errno_rule(m, subjects[i].name, ENOSYS, NULL, 0);
}

static int put_syscalls(struct merge *m, struct error *err)
{
	int r = 0;
	(void) fputs("\"syscalls\":[", m->out);
	m->first = true;
	put_socketcall(m);
	for (size_t i = 0; r == 0 && i < m->profile->n_rules; i++)
		r = put_rule(m, &m->profile->rules[i], err);
	put_denials(m);
	(void) fputc(']', m->out);
	return r;
}

/* No profile can say ENOSYS for x32 alone; without it, libseccomp kills. */
static void put_architectures(struct merge *m)
{
	(void) fputs("\"architectures\":[", m->out);
	m->first = true;
	size_t i = 0;
	for (const struct json_value *arch = m->profile->architectures->first; arch; arch = arch->next) {
		if (m->profile->archs[i++] == SCMP_ARCH_X32)
			continue;
		begin_element(m);
		put_value(m, arch);
	}
	(void) fputc(']', m->out);
}

static int put_profile(struct merge *m, struct error *err)
{
	const struct profile *profile = m->profile;
	(void) fputc('{', m->out);
	for (const struct json_value *member = profile->value->first; member; member = member->next) {
		if (json_key_is(member, "syscalls"))
			continue;
		if (member == profile->architectures)
			put_architectures(m);
		else
			put_member(m, member);
		(void) fputc(',', m->out);
	}
	int r = put_syscalls(m, err);
	(void) fputc('}', m->out);
	return r;
}

static int write_merged(const struct profile *profile, char **ret_text, size_t *ret_len, struct error *err)
{
	__attribute__((cleanup(cleanup_merge))) struct merge m = { .profile = profile };
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		m.dominant[i] = profile_dominant(profile, subjects[i].name);

	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	m.out = open_memstream(&text, &len);
	if (!m.out)
		return error_set(err, ENOMEM, "merge seccomp profile");
	int r = put_profile(&m, err);
	bool failed = ferror(m.out);
	if (fclose(m.out) != 0 || failed)
		return error_set(err, ENOMEM, "merge seccomp profile");
	if (r < 0)
		return r;
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

/* What is used is what was read back. */
static int check_merged(const struct profile *profile, const char *text, size_t len, struct error *err)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_profile_ struct profile merged = { 0 };
	int r = json_parse("merged seccomp profile", text, len, false, &json, err);
	if (r == 0)
		r = profile_read(json, json_root(json), &merged, err);
	return r < 0 ? r : profile_check(profile, &merged, err);
}

static int merge(
	const struct json *json, const struct json_value *seccomp, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_profile_ struct profile profile = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = profile_read(json, seccomp, &profile, err);
	if (r == 0)
		r = write_merged(&profile, &text, &len, err);
	if (r == 0)
		r = check_merged(&profile, text, len, err);
	if (r < 0)
		return r;
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

#if defined(SECCOMP_FOR_x86_64)
#define ARCHITECTURES "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\""
#elif defined(SECCOMP_FOR_aarch64)
#define ARCHITECTURES "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\""
#endif

int profile_merge(
	const struct json *json, const struct json_value *seccomp, char **ret_text, size_t *ret_len, struct error *err)
{
	static const char none[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[" ARCHITECTURES "]}";
	if (seccomp && seccomp->kind != JSON_NULL) {
		if (json->comments)
			return error_say(err, EINVAL, "%s: a seccomp profile in a text with comments", json->file);
		return merge(json, seccomp, ret_text, ret_len, err);
	}
	_cleanup_json_ struct json *fresh = NULL;
	int r = json_parse("no seccomp profile", none, sizeof(none) - 1, false, &fresh, err);
	return r < 0 ? r : merge(fresh, json_root(fresh), ret_text, ret_len, err);
}
