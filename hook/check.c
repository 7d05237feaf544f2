/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress check`: what a policy says, before anything runs by it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/host.h"
#include "base/text.h"
#include "hook/command.h"
#include "hook/policyfile.h"
#include "proxy/filter.h"
#include "proxy/reason.h"
#include "proxy/refusal.h"

#define DEFAULT_PORT 443

enum status {
	STATUS_ALLOWED = 0,
	STATUS_DENIED = 1,
	STATUS_ERROR = 2,
};

static const char *policy_file;

static const struct option_row options[] = {
	{ "policy", "FILE", "the policy", &policy_file, NULL },
	{ 0 },
};

static void print_decision(const char *target, const struct refusal *decision)
{
	const struct image *image = decision->image;
	const struct image_rule *rule = decision->rule;
	bool allowed = decision->reason == REASON_ALLOWED;
	char why[2 * REFUSAL_TEXT_MAX];
	struct text text = text_init(why, sizeof(why));
	if (!allowed) {
		text_add(&text, ": %s: ", reason_code(decision->reason));
		refusal_add_sentence(&text, decision);
		text_add(&text, " ");
		(void) refusal_add_advice(&text, decision);
	}
	(void) printf("%s: %s", target, allowed ? "allowed" : "denied");
	if (rule)
		(void) printf(" by %s:%u: \"%s\"", image_string(image, image->file), rule->line,
			image_string(image, rule->text));
	(void) printf("%s\n", why);
}

/* What names resolve to is not looked at: that decides when a connection is made. */
static enum status check_target(const struct image *image, const char *target)
{
	struct host host;
	uint16_t port;
	char escaped[1024];
	struct text text = text_init(escaped, sizeof(escaped));
	text_add_escaped(&text, target, strlen(target));

	host_problem problem = host_parse_authority(target, strlen(target), false, &host, &port);
	if (problem) {
		(void) fprintf(stderr, "oci-egress check: %s: %s\n", escaped, problem);
		return STATUS_ERROR;
	}

	if (port == 0)
		port = DEFAULT_PORT;
	struct decision decision = filter_decide(image, &host, port);
	struct refusal refusal = {
		.reason = decision.reason, .host = &host, .port = port, .image = image, .rule = decision.rule
	};
	if (refusal.reason == REASON_ALLOWED && host.kind == HOST_ADDRESS)
		refusal.reason = filter_check_address(image, &host.address, NULL);
	print_decision(escaped, &refusal);
	return refusal.reason == REASON_ALLOWED ? STATUS_ALLOWED : STATUS_DENIED;
}

static int check(int argc, char **argv, struct error *err)
{
	if (!policy_file)
		return error_say(err, EINVAL, "expected --policy FILE");

	_cleanup_free_ struct image *image = NULL;
	int r = policyfile_compile(policy_file, &image, err);
	if (r < 0)
		return r;
	if (image->proxy == IMAGE_PROXY_EXTERNAL && argc > 1)
		return error_say(err, EINVAL,
			"%s: its external proxy is the policy: there is nothing here that could tell", policy_file);
	if (argc == 1 && image->proxy == IMAGE_PROXY_EXTERNAL)
		(void) printf("%s: good: an external proxy decides\n", policy_file);
	else if (argc == 1)
		(void) printf("%s: good: %u allowed, %u denied entries\n", policy_file, image->n_allow, image->n_deny);

	enum status worst = STATUS_ALLOWED;
	for (int i = 1; i < argc; i++) {
		enum status status = check_target(image, argv[i]);
		if (status > worst)
			worst = status;
	}
	return (int) worst;
}

static int run_check(int argc, char **argv)
{
	struct error err;
	int r = options_parse(&argc, argv, options, &err);
	if (r == 0)
		r = check(argc, argv, &err);
	if (r >= 0)
		return r;
	(void) fprintf(stderr, "oci-egress check: %s\n", err.msg);
	return STATUS_ERROR;
}

const struct command command_check = {
	.name = "check",
	.operands = "[HOST[:PORT]...]",
	.text = "say whether a policy is good and what it allows (port 443 where none is given); exit status 0 "
		"allowed, 1 denied, 2 error",
	.run = run_check,
	.options = options,
};
