/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/channel.h"

#include <errno.h>
#include <sys/socket.h>

bool channel_send(int channel, const struct channel_message *message)
{
	for (;;) {
		if (send(channel, message, sizeof(*message), MSG_NOSIGNAL) == (ssize_t) sizeof(*message))
			return true;
		if (errno != EINTR)
			return false;
	}
}
