/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/parting.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void parting_init(struct parting *parting)
{
	parting->answer = text_init(parting->buf, sizeof(parting->buf));
	parting->sent = 0;
	parting->drained = 0;
	parting->ended = false;
	parting->queued = 0;
}

enum parting_result parting_send(struct parting *parting, int fd)
{
	while (parting->sent < parting->answer.len) {
		ssize_t n = send(fd, parting->buf + parting->sent, parting->answer.len - parting->sent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? PARTING_WAITS : PARTING_FAILED;
		parting->sent += (size_t) n;
	}
	return PARTING_OVER;
}

int parting_queued(int fd)
{
	int queued = 0; /* our FIN counts, tcp(7) */
	return ioctl(fd, SIOCOUTQ, &queued) == 0 ? queued : -1;
}

/* PARTING_OVER: nothing more is to be expected from the client. */
static enum parting_result drain(struct parting *parting, int fd)
{
	char bytes[16384];
	while (parting->drained < PARTING_DRAIN_MAX) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_TRUNC);
		if (n < 0)
			return errno == EAGAIN ? PARTING_WAITS : PARTING_FAILED;
		if (n == 0)
			return PARTING_OVER;
		parting->drained += (size_t) n;
	}
	return PARTING_OVER;
}

enum parting_result parting_linger(struct parting *parting, int fd)
{
	/* once: each is an edge for epoll(7), and a call for each event would never end */
	if (!parting->ended && shutdown(fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return PARTING_FAILED;
	parting->ended = true;
	enum parting_result result = drain(parting, fd);
	return result == PARTING_OVER && parting_queued(fd) != 0 ? PARTING_WAITS : result;
}

bool parting_moves(struct parting *parting, int fd)
{
	int before = parting->queued;
	parting->queued = parting_queued(fd);
	return parting->queued != before;
}
