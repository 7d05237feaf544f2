/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define TABLE_SIZE_MAX (8u << 20)
#define FIELDS_MAX 7

/* Decimal, no sign, below the reserved (uid_t) -1. */
static bool parse_id(const char *text, id_t *ret)
{
	size_t len = strlen(text);
	if (len == 0 || len > 10 || strspn(text, "0123456789") != len)
		return false;
	unsigned long long value = strtoull(text, NULL, 10);
	if (value >= UINT_MAX)
		return false;
	*ret = (id_t) value;
	return true;
}

/* Splits "a:b:c" in place. Returns how many fields there are, at most FIELDS_MAX. */
static size_t split(char *line, char *fields[FIELDS_MAX])
{
	size_t n = 0;
	for (char *rest = line; rest && n < FIELDS_MAX;)
		fields[n++] = strsep(&rest, ":");
	return n;
}

static int read_table(const char *path, char **ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	size_t len;
	int r = io_read_all(fd, TABLE_SIZE_MAX, ret, &len, err);
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

/* name:password:uid:gid:... passwd(5) */
static bool find_passwd(char *table, const char *name, struct user *ret)
{
	id_t wanted = 0;
	bool by_id = parse_id(name, &wanted);

	for (char *rest = table, *line; (line = strsep(&rest, "\n"));) {
		char *fields[FIELDS_MAX];
		id_t uid, gid;
		if (split(line, fields) < 4 || strlen(fields[0]) >= sizeof(ret->name) || !parse_id(fields[2], &uid) ||
			!parse_id(fields[3], &gid))
			continue;
		if (by_id ? uid != wanted : strcmp(fields[0], name) != 0)
			continue;
		*ret = (struct user){ .uid = uid, .gid = gid };
		(void) snprintf(ret->name, sizeof(ret->name), "%s", fields[0]);
		return true;
	}
	if (by_id) {
		*ret = (struct user){ .uid = wanted, .gid = wanted };
		(void) snprintf(ret->name, sizeof(ret->name), "%u", wanted);
	}
	return by_id;
}

static bool is_member(char *members, const char *name)
{
	for (char *rest = members, *member; (member = strsep(&rest, ","));)
		if (strcmp(member, name) == 0)
			return true;
	return false;
}

/* group:password:gid:member,member... group(5) */
static void find_groups(char *table, struct user *user)
{
	for (char *rest = table, *line; (line = strsep(&rest, "\n"));) {
		char *fields[FIELDS_MAX];
		id_t gid;
		if (split(line, fields) < 4 || !parse_id(fields[2], &gid) || !is_member(fields[3], user->name))
			continue;
		if (gid != user->gid && user->n_groups < USER_GROUPS_MAX)
			user->groups[user->n_groups++] = gid;
	}
}

static int find_named(const char *name, struct user *ret, struct error *err)
{
	_cleanup_free_ char *passwd = NULL;
	int r = read_table("/etc/passwd", &passwd, err);
	if (r < 0)
		return r;
	return find_passwd(passwd, name, ret) ? 0 : error_say(err, ENOENT, "user \"%s\": not in /etc/passwd", name);
}

int user_find(const char *name, struct user *ret, struct error *err)
{
	struct user user;
	int r = find_named(name[0] ? name : "oci-egress", &user, err);
	if (r == -ENOENT && !name[0])
		r = find_named("nobody", &user, err);
	if (r < 0)
		return r;

	_cleanup_free_ char *groups = NULL;
	if (access("/etc/group", R_OK) == 0) {
		r = read_table("/etc/group", &groups, err);
		if (r < 0)
			return r;
		find_groups(groups, &user);
	}
	*ret = user;
	return 0;
}

/* The sixth field, passwd(5). */
static const char *find_home(char *table, uid_t wanted)
{
	for (char *rest = table, *line; (line = strsep(&rest, "\n"));) {
		char *fields[FIELDS_MAX];
		id_t uid;
		if (split(line, fields) >= 6 && parse_id(fields[2], &uid) && uid == wanted && fields[5][0] == '/')
			return fields[5];
	}
	return NULL;
}

int user_home(uid_t uid, char *ret, size_t size, struct error *err)
{
	_cleanup_free_ char *passwd = NULL;
	int r = read_table("/etc/passwd", &passwd, err);
	if (r < 0)
		return r;
	const char *home = find_home(passwd, uid);
	if (!home)
		return error_say(err, ENOENT, "/etc/passwd has no home of uid %u", (unsigned) uid);
	if ((size_t) snprintf(ret, size, "%s", home) >= size)
		return error_set(err, ENAMETOOLONG, "home of uid %u", (unsigned) uid);
	return 0;
}
