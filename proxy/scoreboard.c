/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static size_t scoreboard_size(uint32_t n_slots)
{
	return sizeof(struct scoreboard) + (size_t) n_slots * (sizeof(struct scoreboard_slot) + SCOREBOARD_FAR_MAX);
}

static int map_board(int fd, uint32_t n_slots, struct scoreboard **ret, struct error *err)
{
	void *map = mmap(NULL, scoreboard_size(n_slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, errno, "mmap scoreboard");
	*ret = map;
	return 0;
}

void scoreboard_reset(struct scoreboard *board, uint32_t n_slots)
{
	board->version = SCOREBOARD_VERSION;
	board->n_slots = n_slots;
}

int scoreboard_create(uint32_t n_slots, int *ret_fd, struct scoreboard **ret, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("oci-egress-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set(err, errno, "memfd_create");
	if (ftruncate(fd, (off_t) scoreboard_size(n_slots)) < 0)
		return error_set(err, errno, "ftruncate scoreboard");
	/* a worker that shrank it would have its keeper killed by SIGBUS */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set(err, errno, "seal scoreboard");

	struct scoreboard *board = NULL;
	int r = map_board(fd, n_slots, &board, err);
	if (r < 0)
		return r;
	scoreboard_reset(board, n_slots);
	*ret = board;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void scoreboard_free(struct scoreboard *board, uint32_t n_slots)
{
	if (board)
		munmap(board, scoreboard_size(n_slots));
}

int scoreboard_map(int fd, struct scoreboard **ret, struct error *err)
{
	struct stat st;
	struct scoreboard head;
	if (fstat(fd, &st) < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t) sizeof(head))
		return error_set(err, EINVAL, "scoreboard");
	if (head.version != SCOREBOARD_VERSION || (size_t) st.st_size < scoreboard_size(head.n_slots))
		return error_say(err, EINVAL, "not a scoreboard, or too short for %u connections", head.n_slots);
	return map_board(fd, head.n_slots, ret, err);
}

struct scoreboard_slot *scoreboard_take(struct scoreboard *board, uint32_t *first)
{
	for (uint32_t i = *first; i < board->n_slots; i++) {
		struct scoreboard_slot *slot = &board->slots[i];
		if (atomic_load_explicit(&slot->used, memory_order_relaxed))
			continue;
		memset(slot, 0, sizeof(*slot));
		scoreboard_mark(slot, SCOREBOARD_OPEN);
		*first = i + 1;
		return slot;
	}
	*first = board->n_slots;
	return NULL;
}

/* Where the rest of a slot's name lies, from the board's beginning. */
static size_t far_offset(uint32_t n_slots, uint32_t i)
{
	return sizeof(struct scoreboard) + (size_t) n_slots * sizeof(struct scoreboard_slot) +
	       (size_t) i * SCOREBOARD_FAR_MAX;
}

void scoreboard_set_host(struct scoreboard *board, struct scoreboard_slot *slot, const char *name, size_t len)
{
	size_t near = len < SCOREBOARD_NEAR_MAX ? len : SCOREBOARD_NEAR_MAX;
	memcpy(slot->host, name, near);
	if (len > near)
		memcpy((char *) board + far_offset(board->n_slots, (uint32_t) (slot - board->slots)), name + near,
			len - near);
	slot->host_len = (uint8_t) len;
}

size_t scoreboard_copy_host(const struct scoreboard *board, uint32_t n_slots, uint32_t i,
	const struct scoreboard_slot *slot, char ret[HOST_NAME_MAX_LEN + 1])
{
	size_t len = slot->host_len <= HOST_NAME_MAX_LEN ? slot->host_len : HOST_NAME_MAX_LEN;
	size_t near = len < SCOREBOARD_NEAR_MAX ? len : SCOREBOARD_NEAR_MAX;
	memcpy(ret, slot->host, near);
	memcpy(ret + near, (const char *) board + far_offset(n_slots, i), len - near);
	ret[len] = '\0';
	return len;
}

void scoreboard_release(struct scoreboard *board, struct scoreboard_slot *slot, uint32_t *first)
{
	if (!slot)
		return;
	scoreboard_mark(slot, SCOREBOARD_FREE);
	uint32_t i = (uint32_t) (slot - board->slots);
	if (i < *first)
		*first = i;
}
