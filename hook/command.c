/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "hook/rootless.h"
#include "hook/trusted.h"

#define CONFIG_FILE "/etc/oci-egress/config.json"
#define SETTINGS_SIZE_MAX (1u << 20)

static int take_path(const char *option, const char *path, char ret[PATH_MAX], struct error *err)
{
	if (!path)
		return 0;
	if (path[0] != '/')
		return error_say(err, EINVAL, "--%s %s: expected an absolute path", option, path);
	if ((size_t) snprintf(ret, PATH_MAX, "%s", path) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "--%s", option);
	return 0;
}

static int read_settings(const char *file, struct settings *settings, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = trusted_read(AT_FDCWD, file, file, SETTINGS_SIZE_MAX, &text, &len, err);
	return r < 0 ? r : settings_parse(file, text, len, settings, err);
}

/* What the administrator keeps from users says nothing about their containers. */
static int read_host_settings(struct settings *settings, struct error *err)
{
	int r = read_settings(CONFIG_FILE, settings, err);
	return r == -ENOENT || (r == -EACCES && rootless()) ? 0 : r;
}

/* The host's, then the user's own where it is a user's; or the file that was named, over what holds without any. */
static int find_settings(const char *named, struct settings *settings, struct error *err)
{
	char file[PATH_MAX];
	settings_defaults(settings);
	int r = named ? 0 : read_host_settings(settings, err);
	if (r == 0 && rootless())
		r = rootless_places(settings, file, err);
	if (r < 0)
		return r;
	if (named)
		return read_settings(named, settings, err);
	r = rootless() ? read_settings(file, settings, err) : 0;
	return r == -ENOENT ? 0 : r;
}

static int take_places(const struct command_places *places, struct settings *ret, struct error *err)
{
	if (places->policies)
		ret->admin_policies[0] = '\0'; /* the directory that was named, and no other */
	int r = take_path("policies", places->policies, ret->policies, err);
	if (r == 0)
		r = take_path("run", places->run, ret->run, err);
	if (r == 0)
		r = take_path("log", places->log, ret->log, err);
	if (r == 0)
		r = take_path("state", places->state, ret->state, err);
	return r;
}

int command_settings(const struct command_places *places, struct settings *ret, struct error *err)
{
	int r = find_settings(places->config, ret, err);
	return r < 0 ? r : take_places(places, ret, err);
}

int command_given_settings(const struct command_places *places, struct settings *ret, struct error *err)
{
	settings_defaults(ret);
	return take_places(places, ret, err);
}

void command_places_words(const struct command_places *places, const char *ret[COMMAND_PLACES_WORDS])
{
	const char *const given[][2] = {
		{ "--config", places->config },
		{ "--policies", places->policies },
		{ "--run", places->run },
		{ "--log", places->log },
		{ "--state", places->state },
		{ "--keeper", places->keeper },
	};
	_Static_assert(COMMAND_PLACES_WORDS == 2 * ARRAY_SIZE(given) + 1, "two words each, and NULL");
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		if (!given[i][1])
			continue;
		ret[n++] = given[i][0];
		ret[n++] = given[i][1];
	}
	ret[n] = NULL;
}

const char *command_keeper(const struct command_places *places)
{
	return places->keeper ? places->keeper : KEEPER_PROGRAM;
}
