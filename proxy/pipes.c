/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/pipes.h"

#include <fcntl.h>
#include <unistd.h>

static void pipe_close(struct pipes *pipes, const struct pipe_pair *pipe)
{
	pipes->n_open--;
	close(pipe->read_fd);
	close(pipe->write_fd);
}

bool pipes_take(struct pipes *pipes, struct pipe_pair *ret)
{
	if (pipes->n > 0) {
		*ret = pipes->spare[--pipes->n];
		return true;
	}
	int fds[2];
	if (pipes->n_open == PIPES_MAX)
		return false;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return false;
	(void) fcntl(fds[1], F_SETPIPE_SZ, PIPES_BYTES);
	pipes->n_open++;
	*ret = (struct pipe_pair){ .read_fd = fds[0], .write_fd = fds[1] };
	return true;
}

void pipes_give(struct pipes *pipes, struct pipe_pair *pipe, bool empty)
{
	if (pipe->read_fd < 0)
		return;
	if (empty && pipes->n < PIPES_SPARE_MAX)
		pipes->spare[pipes->n++] = *pipe;
	else
		pipe_close(pipes, pipe);
	*pipe = (struct pipe_pair){ .read_fd = -1, .write_fd = -1 };
}

void pipes_close(struct pipes *pipes)
{
	while (pipes->n > 0)
		pipe_close(pipes, &pipes->spare[--pipes->n]);
}
