/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/rootless.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/idmap.h"
#include "oci/owner.h"
#include "proxy/user.h"

static const char *const kept[] = { "HOME", "XDG_RUNTIME_DIR" };

bool rootless(void)
{
	struct stat st;
	return geteuid() != 0 || (stat("/", &st) == 0 && st.st_uid != 0 && owner_trusted(st.st_uid));
}

/* Who we are on the host: inside a user namespace everybody is somebody else. */
static int outer_uid(uid_t *ret, struct error *err)
{
	struct idmap map;
	int r = idmap_read("/proc/self/uid_map", &map, err);
	if (r < 0)
		return r;
	if (!idmap_outer(&map, geteuid(), ret))
		return error_say(err, ENOENT, "/proc/self/uid_map has no uid %u", (unsigned) geteuid());
	return 0;
}

/* The variable's value, where it is an absolute path. */
static const char *path_variable(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] == '/' ? value : NULL;
}

static int find_home(uid_t uid, char *ret, struct error *err)
{
	int r = user_home(uid, ret, PATH_MAX, err);
	if (r != -ENOENT)
		return r;
	const char *home = path_variable("HOME");
	if (!home)
		return error_wrap(err, "where is your home");
	if ((size_t) snprintf(ret, PATH_MAX, "%s", home) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "HOME");
	return 0;
}

static int below(char *ret, const char *dir, const char *rest, struct error *err)
{
	return (size_t) snprintf(ret, PATH_MAX, "%s/%s", dir, rest) >= PATH_MAX
		       ? error_set(err, ENAMETOOLONG, "%s", dir)
		       : 0;
}

static int find_runtime(uid_t uid, char *ret, struct error *err)
{
	char usual[64];
	const char *dir = path_variable("XDG_RUNTIME_DIR");
	(void) snprintf(usual, sizeof(usual), "/run/user/%u", (unsigned) uid);
	return below(ret, dir ? dir : usual, "oci-egress", err);
}

int rootless_places(struct settings *settings, char *ret_config, struct error *err)
{
	char home[PATH_MAX];
	uid_t uid = 0;
	int r = outer_uid(&uid, err);
	if (r == 0)
		r = find_home(uid, home, err);
	if (r < 0)
		return r;
	memcpy(settings->admin_policies, settings->policies, sizeof(settings->admin_policies));
	r = find_runtime(uid, settings->run, err);
	if (r == 0)
		r = below(settings->policies, home, ".config/oci-egress/policies", err);
	if (r == 0)
		r = below(settings->log, home, ".local/state/oci-egress/log", err);
	if (r == 0)
		r = below(settings->state, home, ".local/state/oci-egress", err);
	if (r == 0)
		r = below(ret_config, home, ".config/oci-egress/config.json", err);
	return r;
}

void rootless_clearenv(void)
{
	char *values[ARRAY_SIZE(kept)] = { 0 };
	bool keep = rootless();
	for (size_t i = 0; keep && i < ARRAY_SIZE(kept); i++)
		values[i] = getenv(kept[i]) ? strdup(getenv(kept[i])) : NULL;
	(void) clearenv();
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (values[i])
			(void) setenv(kept[i], values[i], 1);
		free(values[i]);
	}
}
