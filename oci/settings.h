/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own settings, /etc/oci-egress/config.json: all optional, as are the file and each key. */
#pragma once

#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/image.h"

struct settings {
	char policies[PATH_MAX];       /* "policies": directory of the policies */
	char admin_policies[PATH_MAX]; /* no key: the administrator's, where those above are a user's own; else "" */
	char run[PATH_MAX];            /* "run" */
	char log[PATH_MAX];            /* "log" */
	char state[PATH_MAX];          /* "state": external proxies' homes, /var/lib/oci-egress */
	char runtime[PATH_MAX];        /* "runtime": what the wrapper runs; empty: runc, else crun, where it is found */
	bool policy_from_annotation;   /* "policy_from_annotation": one may choose by an annotation; else refused */
	bool policy_from_env;          /* "policy_from_env": a container may choose its policy by OCI_EGRESS_POLICY */
	enum image_on_failure on_failure; /* "on_failure": for policies that do not say */
	struct in_addr
		proxy; /* "network": {"proxy": "198.18.0.2", "container": "198.18.0.3", "prefix": 31, "port": 3128} */
	struct in_addr container;
	uint8_t prefix;
	uint16_t port;
};

/* What holds without a file. */
void settings_defaults(struct settings *ret);

/* Puts what the text says over *settings. -EINVAL: "FILE:LINE:COLUMN: key: what is wrong, what was expected"; untouched
 * then. */
int settings_parse(const char *file, const char *text, size_t len, struct settings *settings, struct error *err);
