/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/naming.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* CRI-O and dockershim; containerd's CRI plugin; nerdctl. The first that is there counts. */
static const struct {
	const char *annotation;
	size_t offset;
} sources[] = {
	{ "io.kubernetes.pod.namespace", offsetof(struct naming, namespace) },
	{ "io.kubernetes.cri.sandbox-namespace", offsetof(struct naming, namespace) },
	{ "io.kubernetes.pod.name", offsetof(struct naming, pod) },
	{ "io.kubernetes.cri.sandbox-name", offsetof(struct naming, pod) },
	{ "io.kubernetes.container.name", offsetof(struct naming, container) },
	{ "io.kubernetes.cri.container-name", offsetof(struct naming, container) },
	{ "nerdctl/name", offsetof(struct naming, container) },
};

static bool is_name(const char *text)
{
	size_t len = strlen(text);
	return len > 0 && len <= NAMING_MAX && text[0] != '-' && text[0] != '.' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

void naming_read(const struct state *state, struct naming *ret)
{
	*ret = (struct naming){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		const char *value = state_annotation(state, sources[i].annotation);
		char *field = (char *) ret + sources[i].offset;
		if (value && field[0] == '\0' && is_name(value))
			memcpy(field, value, strlen(value) + 1);
	}
}

bool naming_known(const struct naming *naming)
{
	return naming->namespace[0] != '\0' || naming->pod[0] != '\0' || naming->container[0] != '\0';
}

const char *naming_format(const struct naming *naming, bool pod_only, char buf[NAMING_TEXT_SIZE])
{
	const char *container = pod_only && naming->pod[0] != '\0' ? "" : naming->container;
	const char *parts[] = { naming->namespace, naming->pod, container };
	size_t len = 0;
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i][0] != '\0')
			len += (size_t) snprintf(
				buf + len, NAMING_TEXT_SIZE - len, "%s%s", len > 0 ? "/" : "", parts[i]);
	return buf;
}

bool naming_is(const struct naming *naming, const char *text)
{
	if (text[0] == '\0')
		return false;
	if (strcmp(text, naming->container) == 0 || strcmp(text, naming->pod) == 0)
		return true;

	char buf[NAMING_TEXT_SIZE];
	struct naming without_namespace = *naming;
	without_namespace.namespace[0] = '\0';
	return naming->pod[0] != '\0' && (strcmp(text, naming_format(naming, false, buf)) == 0 ||
						 strcmp(text, naming_format(naming, true, buf)) == 0 ||
						 strcmp(text, naming_format(&without_namespace, false, buf)) == 0);
}
