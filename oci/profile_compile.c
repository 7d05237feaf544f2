/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/profile_compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/profile_rules.h"
#include "oci/seccomp_export.h"

#define NAME_MAX_LEN 64 /* longer than that of any system call */

static void cleanup_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static bool is_one_of(const char *name, const char *const *only)
{
	for (; *only; only++)
		if (strcmp(*only, name) == 0)
			return true;
	return false;
}

/* Two conditions on one argument make each a rule of its own: so do runc and crun. */
static int add_number(scmp_filter_ctx ctx, const struct profile_rule *rule, int number)
{
	if (!profile_alternatives(rule))
		return seccomp_rule_add_array(ctx, rule->action, number, rule->n_args, rule->args);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rule->n_args; i++)
		r = seccomp_rule_add_array(ctx, rule->action, number, 1, &rule->args[i]);
	return r;
}

static int add_rule(const struct profile *profile, scmp_filter_ctx ctx, const struct profile_rule *rule,
	const char *const *only, struct error *err)
{
	if (!rule->names || !profile_counts(profile, rule))
		return 0;
	for (const struct json_value *v = rule->names->first; v; v = v->next) {
		char name[NAME_MAX_LEN];
		if (v->len >= sizeof(name))
			continue;
		memcpy(name, v->bytes, v->len);
		name[v->len] = '\0';
		if (only && !is_one_of(name, only))
			continue;
		int number = seccomp_syscall_resolve_name(name);
		if (number == __NR_SCMP_ERROR) /* a runtime of the same libseccomp passes over it too */
			continue;
		int r = add_number(ctx, rule, number);
		if (r < 0)
			return json_complain(
				profile->json, rule->value, err, "%s: refused by libseccomp: %s", name, strerror(-r));
	}
	return 0;
}

static int add_all(const struct profile *profile, scmp_filter_ctx ctx, const char *const *only, struct error *err)
{
	for (size_t i = 0; i < profile->n_archs; i++) {
		int r = seccomp_arch_add(ctx, profile->archs[i]);
		if (r < 0 && r != -EEXIST)
			return json_complain(
				profile->json, profile->architectures, err, "refused by libseccomp: %s", strerror(-r));
	}
	for (size_t i = 0; i < profile->n_rules; i++) {
		int r = add_rule(profile, ctx, &profile->rules[i], only, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int profile_compile(
	const struct profile *profile, const char *const *only, bool tree, struct sock_fprog *ret, struct error *err)
{
	__attribute__((cleanup(cleanup_filter))) scmp_filter_ctx ctx = seccomp_init(profile->default_action);
	if (!ctx)
		return json_complain(profile->json, profile->value, err,
			"defaultAction: refused by libseccomp, for want of memory or of kernel support");
	if (tree) {
		int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		if (r < 0)
			return error_set(err, -r, "seccomp filter as a tree");
	}
	int r = add_all(profile, ctx, only, err);
	if (r == 0)
		r = seccomp_export(ctx, ret, err);
	return r;
}
