/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that the container's connections arrive at. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Listens on address:port in the namespace that this thread is in now. Non-blocking, SO_LINGER {1, 0}. *ret_fd is the
 * caller's.
 */
int listener_open(struct in_addr address, uint16_t port, int *ret_fd, struct error *err);
