/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define LISTENER_BACKLOG 4096

int listener_open(struct in_addr address, uint16_t port, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "listener");

	/* Accepted sockets inherit it. Else what the kernel still has to deliver when the last process is gone, to a
	 * client that reads nothing, keeps the namespace for minutes: close(2) discards it instead, socket(7). */
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	/* Past connections in TIME_WAIT do not hold the port. */
	const int on = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return error_set(err, errno, "listener: setsockopt");

	const struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address };
	if (bind(fd, (const struct sockaddr *) &sin, sizeof(sin)) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		char text[INET_ADDRSTRLEN];
		int errnum = errno;
		(void) inet_ntop(AF_INET, &address, text, sizeof(text));
		return error_set(err, errnum, "listen on %s:%u", text, port);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
