/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/reading.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proxy/socks.h"

#define FIRST_SIZE 1024u

struct reading *reading_new(void)
{
	struct reading *reading = malloc(sizeof(*reading));
	if (!reading)
		return NULL;
	http_head_init(&reading->head);
	reading->buf = NULL;
	reading->len = reading->size = 0;
	reading->more = true;
	return reading;
}

static bool has_room(struct reading *reading, size_t max)
{
	if (reading->len < reading->size)
		return true;
	/* one byte more than the limit, which shows that it is passed */
	size_t size = reading->size ? reading->size * 2 : FIRST_SIZE;
	if (size > max + 1)
		size = max + 1;
	char *buf = size > reading->size ? realloc(reading->buf, size) : NULL;
	if (!buf)
		return false;
	reading->buf = buf;
	reading->size = size;
	return true;
}

/* The bytes are looked at first, and taken when they are known to be the head's: what follows is the tunnel's. */
static enum reading_result read_once(struct reading *reading, int fd, size_t max)
{
	char *at = reading->buf + reading->len;
	ssize_t n = recv(fd, at, reading->size - reading->len, MSG_PEEK);
	if (n == 0)
		return READING_ENDED;
	if (n < 0)
		return errno == EAGAIN ? READING_WAITS : READING_FAILED;
	if (reading->len == 0 && *at == SOCKS_VERSION)
		return READING_SOCKS;

	enum parse_result result = http_head_parse(&reading->head, reading->buf, reading->len + (size_t) n, max);
	size_t taken = reading->head.len - reading->len;
	reading->more = (size_t) n > taken || (size_t) n == reading->size - reading->len;
	if (taken > 0 && recv(fd, at, taken, 0) != (ssize_t) taken)
		return READING_FAILED;
	reading->len += taken;
	if (result == PARSE_MORE)
		return READING_WAITS;
	return result == PARSE_DONE ? READING_DONE : READING_BAD;
}

enum reading_result reading_run(struct reading *reading, int fd, size_t max)
{
	enum reading_result result;
	size_t before;
	do {
		before = reading->len;
		if (!has_room(reading, max))
			return READING_NO_MEMORY;
		result = read_once(reading, fd, max);
	} while (result == READING_WAITS && reading->len > before); /* edge-triggered: to the last byte */
	return result;
}

void reading_free(struct reading *reading)
{
	if (reading)
		free(reading->buf);
	free(reading);
}
