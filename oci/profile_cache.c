/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/profile_cache.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/edit.h"
#include "oci/owner.h"
#include "oci/profile.h"

#define SLOTS 64
#define TEXT_MAX (1u << 20) /* a profile that is longer is merged each time */
#define NAME_SIZE sizeof("00")

/* In front of the old text and the new one. */
struct header {
	/* This program's file: another has another filter, other rules and another libseccomp. */
	dev_t program_dev;
	ino_t program_inode;
	struct timespec program_changed;
	uint64_t old_len, new_len;
};

struct entry {
	int dir;
	char name[NAME_SIZE];
	struct header header;
	const char *old; /* the profile as it stands in config.json; not terminated */
};

/* Chooses a file; what is in it is compared byte by byte. FNV-1a. */
static uint64_t hash(const char *text, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char) text[i]) * UINT64_C(0x100000001b3);
	return h;
}

static bool entry_find(int dir, const struct json *json, const struct json_value *seccomp, struct entry *ret)
{
	struct stat program;
	size_t len = 0;
	if (dir < 0 || stat("/proc/self/exe", &program) < 0)
		return false;
	*ret = (struct entry){ .dir = dir, .old = "" };
	if (seccomp)
		ret->old = edit_source(json, seccomp, &len);
	if (len > TEXT_MAX)
		return false;
	ret->header = (struct header){ .program_dev = program.st_dev,
		.program_inode = program.st_ino,
		.program_changed = program.st_ctim,
		.old_len = len };
	(void) snprintf(ret->name, sizeof(ret->name), "%02x", (unsigned) (hash(ret->old, len) % SLOTS));
	return true;
}

static bool entry_is(const struct entry *entry, const char *text, size_t len)
{
	const struct header *want = &entry->header;
	struct header got;
	if (len < sizeof(got))
		return false;
	memcpy(&got, text, sizeof(got));
	return got.program_dev == want->program_dev && got.program_inode == want->program_inode &&
	       got.program_changed.tv_sec == want->program_changed.tv_sec &&
	       got.program_changed.tv_nsec == want->program_changed.tv_nsec && got.old_len == want->old_len &&
	       got.new_len > 0 && got.new_len <= len && got.old_len <= len &&
	       got.old_len + got.new_len == len - sizeof(got) &&
	       memcmp(text + sizeof(got), entry->old, got.old_len) == 0;
}

static bool entry_read(const struct entry *entry, char **ret_text, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t len;
	if (owner_open(entry->dir, entry->name, entry->name, &fd, NULL) < 0 ||
		io_read_all(fd, 4 * TEXT_MAX, &text, &len, NULL) < 0 || !entry_is(entry, text, len))
		return false;
	size_t skip = sizeof(struct header) + entry->header.old_len;
	char *copy = malloc(len - skip);
	if (!copy)
		return false;
	memcpy(copy, text + skip, len - skip);
	*ret_text = copy;
	*ret_len = len - skip;
	return true;
}

/* Under a name of its own first: two may do this at once, and either may die of it. */
static void entry_write(const struct entry *entry, const char *text, size_t len)
{
	struct header header = entry->header;
	header.new_len = len;
	char draft[sizeof("00.") + 3 * sizeof(pid_t)];
	(void) snprintf(draft, sizeof(draft), "%s.%d", entry->name, (int) getpid());
	(void) unlinkat(entry->dir, draft, 0);
	_cleanup_close_ int fd = openat(entry->dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (io_write_all(fd, &header, sizeof(header), NULL) < 0 ||
		io_write_all(fd, entry->old, header.old_len, NULL) < 0 || io_write_all(fd, text, len, NULL) < 0 ||
		renameat(entry->dir, draft, entry->dir, entry->name) < 0)
		(void) unlinkat(entry->dir, draft, 0);
}

int profile_merge_cached(int dir, const struct json *json, const struct json_value *seccomp, char **ret_text,
	size_t *ret_len, struct error *err)
{
	struct entry entry;
	bool cached = entry_find(dir, json, seccomp, &entry);
	if (cached && entry_read(&entry, ret_text, ret_len))
		return 0;
	int r = profile_merge(json, seccomp, ret_text, ret_len, err);
	if (r == 0 && cached)
		entry_write(&entry, *ret_text, *ret_len);
	return r;
}
