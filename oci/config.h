/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle's config.json (OCI runtime-spec, config.md): the few things that the hook must know of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CONFIG_SIZE_MAX (16u << 20)

struct json;

struct config {
	bool has_network_namespace;   /* linux.namespaces lists one, with or without a path */
	bool has_network_path;        /* and with one: somebody else has made it, and may do more to it */
	bool has_user_namespace;      /* linux.namespaces lists one, with or without a path */
	bool has_net_devices;         /* linux.netDevices names some of the host's, which move into the container */
	bool has_seccomp;             /* linux.seccomp */
	const char *admin_capability; /* one in process.capabilities, of any set, that is enough to undo any rule in a
					 network namespace: "CAP_NET_ADMIN" or "CAP_SYS_ADMIN"; NULL: none */
	char *policy_env;             /* the value of OCI_EGRESS_POLICY in process.env, the last one; NULL: none */
	char *policy_annotation;      /* the value of oci-egress.policy in annotations; NULL: none */
	char *unsafe_annotation; /* the first one that would take the filter away or lets the runtime write files; NULL:
				    none */
};

/*
 * Parses config.json. Strict on types of what it reads and on duplicate keys; "network" listed twice is an error.
 * Returns 0 and *ret (config_free()), or -EINVAL with "FILE:LINE:COLUMN: key: what is wrong".
 */
int config_parse(const char *file, const char *text, size_t len, struct config **ret, struct error *err);
void config_free(struct config *config);

/* The second half of config_parse(), for who needs the document as well. */
int config_read(const struct json *json, struct config **ret, struct error *err);

/*
 * The same of a process alone, as an exec's file has it: one of its capabilities, of any set, that is enough to undo
 * any rule in a network namespace; NULL: none.
 */
int config_read_process(const struct json *json, const char **ret_admin_capability, struct error *err);

/*
 * Is this annotation one that crun acts on in a way that voids the filter: run.oci.seccomp_bpf_data, run.oci.seccomp.*,
 * run.oci.handler, run.oci.hooks.*? crun(1), "ANNOTATIONS".
 */
bool config_annotation_unsafe(const char *key);
