/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/sni.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/host.h"
#include "proxy/client_hello.h"

/* What nearly every hello fits into, so that a tunnel of anything else is not copied by the page for a look. */
#define FIRST_LOOK 2048

/* To a name a hello must name it: without one the server chooses, and whom it serves then nobody has asked for. */
static bool is_for(const struct client_hello *hello, const struct host *host)
{
	struct host named;
	if (hello->kind == CLIENT_HELLO_UNNAMED)
		return host->kind == HOST_ADDRESS;
	return !host_parse(hello->name, hello->name_len, &named) && host_equal(&named, host);
}

static enum sni_result judge(enum parse_result result, const struct client_hello *hello, const struct host *host)
{
	if (result == PARSE_MORE)
		return SNI_WAITS;
	if (result == PARSE_BAD)
		return SNI_REFUSED;
	return hello->kind == CLIENT_HELLO_NONE || is_for(hello, host) ? SNI_PASSES : SNI_REFUSED;
}

/* The kernel is quiet until there are so many bytes, or the last one: pieces before that cost nothing. socket(7) */
static void set_low_mark(struct sni *sni, int fd, size_t bytes)
{
	int mark = (int) bytes;
	if (mark == (sni->low_mark ? sni->low_mark : 1))
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)) == 0)
		sni->low_mark = (uint16_t) bytes;
}

/* *ret_need is for SNI_WAITS; *ret_seen: how many bytes were looked at. */
static enum sni_result look(struct sni *sni, int fd, const struct host *host, size_t *ret_need, size_t *ret_seen)
{
	uint8_t bytes[CLIENT_HELLO_MAX];
	struct client_hello hello = { .need = 1 };
	enum parse_result result;
	size_t size = FIRST_LOOK;
	ssize_t n = recv(fd, bytes, size, MSG_PEEK);
	for (;;) {
		if (n < 0)
			return errno == EAGAIN ? SNI_WAITS : SNI_FAILED;
		if (n == 0)
			return SNI_PASSES; /* it ended without a byte */
		result = client_hello_parse(bytes, (size_t) n, &hello);
		if (result != PARSE_MORE || (size_t) n < size || size == sizeof(bytes))
			break;
		size = sizeof(bytes);
		n = recv(fd, bytes, size, MSG_PEEK);
	}
	sni->begun = true;
	*ret_seen = (size_t) n;
	*ret_need = hello.need;
	return judge(result, &hello, host);
}

/* One recv(2) stops at an urgent mark, tcp(7), and never gets past it while it only looks. */
static bool was_all(int fd, size_t seen)
{
	int queued;
	return ioctl(fd, SIOCINQ, &queued) == 0 && (size_t) queued <= seen;
}

enum sni_result sni_check(struct sni *sni, int fd, const struct host *host, bool ended)
{
	size_t need = 1, seen = 0;
	enum sni_result result = look(sni, fd, host, &need, &seen);
	if (result == SNI_WAITS && ended)
		result = was_all(fd, seen) ? SNI_PASSES : SNI_REFUSED; /* the beginning of a hello is none */
	set_low_mark(sni, fd, result == SNI_WAITS ? need : 1);
	return result;
}

void sni_send_alert(int fd)
{
	static const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, 112 };
	(void) send(fd, alert, sizeof(alert), MSG_NOSIGNAL);
}
