/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/containersconf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "hook/rootless.h"

#define SIZE_MAX_BYTES (1u << 20)
#define DEFAULT_DIR "/usr/share/containers/oci/hooks.d"

struct cursor {
	const char *p, *end;
};

static void skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

static void skip_line(struct cursor *c)
{
	while (c->p < c->end && *c->p++ != '\n')
		;
}

/* Blanks, line ends, comments and commas: what stands between the values of an array. */
static void skip_between(struct cursor *c)
{
	while (c->p < c->end && strchr(" \t\r\n,#", *c->p)) {
		if (*c->p == '#')
			skip_line(c);
		else
			c->p++;
	}
}

static bool take_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);
	if ((size_t) (c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return false;
	c->p += len;
	skip_blanks(c);
	return true;
}

/* A string without escapes, as paths are written. */
static bool take_string(struct cursor *c, char ret[PATH_MAX])
{
	if (c->p == c->end || (*c->p != '"' && *c->p != '\''))
		return false;
	char quote = *c->p++;
	const char *close = memchr(c->p, quote, (size_t) (c->end - c->p));
	if (!close || close - c->p >= PATH_MAX)
		return false;
	(void) snprintf(ret, PATH_MAX, "%.*s", (int) (close - c->p), c->p);
	c->p = close + 1;
	return true;
}

static void take_dirs(struct cursor *c, struct containersconf *conf)
{
	conf->n = 0;
	conf->set = true;
	if (!take_word(c, "["))
		return;
	for (skip_between(c); conf->n < CONTAINERSCONF_DIRS_MAX && take_string(c, conf->dirs[conf->n]); skip_between(c))
		conf->n++;
}

void containersconf_parse(const char *text, size_t len, struct containersconf *conf)
{
	struct cursor c = { text, text + len };
	bool in_engine = false;
	for (; c.p < c.end; skip_line(&c)) {
		skip_blanks(&c);
		if (take_word(&c, "["))
			in_engine = take_word(&c, "engine") && take_word(&c, "]");
		else if (in_engine && take_word(&c, "hooks_dir") && take_word(&c, "="))
			take_dirs(&c, conf);
	}
}

static void read_file(const char *path, struct containersconf *conf)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;
	if (fd >= 0 && io_read_all(fd, SIZE_MAX_BYTES, &text, &len, NULL) == 0)
		containersconf_parse(text, len, conf);
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static void read_place(const char *dir, struct containersconf *conf)
{
	char path[PATH_MAX], file[PATH_MAX + NAME_MAX + 2];
	(void) snprintf(path, sizeof(path), "%s/containers.conf", dir);
	read_file(path, conf);

	struct dirent **names = NULL;
	(void) snprintf(path, sizeof(path), "%s/containers.conf.d", dir);
	int n = scandir(path, &names, is_conf, alphasort);
	for (int i = 0; i < n; i++) {
		(void) snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		read_file(file, conf);
		free(names[i]);
	}
	free(names);
}

static void read_users_place(struct containersconf *conf)
{
	char dir[PATH_MAX];
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (config && config[0] == '/')
		(void) snprintf(dir, sizeof(dir), "%s/containers", config);
	else
		(void) snprintf(dir, sizeof(dir), "%s/.config/containers", home ? home : "");
	read_place(dir, conf);
}

void containersconf_read(struct containersconf *ret)
{
	*ret = (struct containersconf){ 0 };
	if (!rootless()) {
		ret->n = 1;
		(void) snprintf(ret->dirs[0], PATH_MAX, "%s", DEFAULT_DIR);
	}
	const char *alone = getenv("CONTAINERS_CONF"), *over = getenv("CONTAINERS_CONF_OVERRIDE");
	if (alone) {
		read_file(alone, ret);
	} else {
		read_place("/usr/share/containers", ret);
		read_place("/etc/containers", ret);
		if (rootless())
			read_users_place(ret);
	}
	if (over)
		read_file(over, ret);
}
