/* SPDX-License-Identifier: Apache-2.0 */
#include "base/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define TEXT_MAX (IDMAP_RANGES_MAX * 40u) /* three numbers of ten places, and blanks */

static bool range_valid(const struct idmap_range *range)
{
	return range->count > 0 && range->count <= UINT32_MAX - range->inner &&
	       range->count <= UINT32_MAX - range->outer;
}

int idmap_parse(const char *text, struct idmap *ret, struct error *err)
{
	struct idmap map = { 0 };
	int used = 0;
	for (const char *p = text; *p; p += used) {
		struct idmap_range range;
		if (map.n == IDMAP_RANGES_MAX ||
			sscanf(p, " %10" SCNu32 " %10" SCNu32 " %10" SCNu32 " %n", &range.inner, &range.outer,
				&range.count, &used) != 3 ||
			!range_valid(&range))
			return error_say(err, EINVAL, "not a map of ids");
		map.ranges[map.n++] = range;
	}
	*ret = map;
	return 0;
}

int idmap_read(const char *path, struct idmap *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = io_read_all(fd, TEXT_MAX, &text, &len, err);
	if (r == 0)
		r = idmap_parse(text, ret, err);
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

bool idmap_outer(const struct idmap *map, uint32_t inner, uint32_t *ret)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_range *range = &map->ranges[i];
		if (inner >= range->inner && inner - range->inner < range->count) {
			*ret = range->outer + (inner - range->inner);
			return true;
		}
	}
	return false;
}

bool idmap_highest(const struct idmap *a, const struct idmap *b, uint32_t *ret)
{
	bool found = false;
	uint32_t unused;
	for (size_t i = 0; i < a->n + b->n; i++) {
		/* The highest one common to both is the last of a range of the one or of the other. */
		const struct idmap_range *range = i < a->n ? &a->ranges[i] : &b->ranges[i - a->n];
		uint32_t last = range->inner + (range->count - 1);
		if ((found && last <= *ret) || !idmap_outer(a, last, &unused) || !idmap_outer(b, last, &unused))
			continue;
		*ret = last;
		found = true;
	}
	return found;
}
