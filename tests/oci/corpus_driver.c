/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads cases from stdin, "KIND LENGTH\n" and LENGTH bytes each, and answers each with one line on stdout:
 * "accept FACT=VALUE..." or "reject MESSAGE". For corpus.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/config.h"
#include "oci/policy.h"
#include "oci/state.h"

static void answer_state(const char *text, size_t len)
{
	struct state *state;
	struct error err;
	if (state_parse(text, len, &state, &err) < 0) {
		printf("reject %s\n", err.msg);
		return;
	}
	const char *name = state_annotation(state, "oci-egress.policy");
	printf("accept policy=%s pid=%d status=%s\n",
		!name                     ? "none"
		: policy_name_valid(name) ? "named"
					  : "invalid",
		state->pid, state->status);
	state_free(state);
}

static void answer_config(const char *text, size_t len)
{
	struct config *config;
	struct error err;
	if (config_parse("config.json", text, len, &config, &err) < 0) {
		printf("reject %s\n", err.msg);
		return;
	}
	printf("accept network=%d seccomp=%d unsafe=%d\n", config->has_network_namespace, config->has_seccomp,
		config->unsafe_annotation != NULL);
	config_free(config);
}

static void answer_policy(const char *text, size_t len)
{
	struct image *image;
	const struct image *checked;
	struct error err;
	if (policy_compile("policy", "corpus", text, len, IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0) {
		printf("reject %s\n", err.msg);
		return;
	}
	if (image_check(image, image->size, &checked, &err) < 0)
		printf("broken %s\n", err.msg);
	else
		printf("accept allow=%u deny=%u ports=%u\n", image->n_allow, image->n_deny, image->ports.count);
	free(image);
}

int main(void)
{
	char kind[16];
	size_t len;
	while (scanf("%15s %zu", kind, &len) == 2 && getchar() == '\n') {
		_cleanup_free_ char *text = malloc(len + 1);
		if (!text || fread(text, 1, len, stdin) != len)
			return 2;
		if (strcmp(kind, "state") == 0)
			answer_state(text, len);
		else if (strcmp(kind, "config") == 0)
			answer_config(text, len);
		else if (strcmp(kind, "policy") == 0)
			answer_policy(text, len);
		else
			return 2;
	}
	return 0;
}
