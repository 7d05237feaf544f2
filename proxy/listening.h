/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on a port of the loopback: the sockets, and whether a process of a PID namespace has one of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Does a process of the PID namespace whose init is this one (as uid) have a TCP socket that listens where 127.0.0.1's
 * port is reached: on that address, 0.0.0.0 or [::]? Whoever else may listen there does not count.
 */
bool listening_in(pid_t init, uid_t uid, uint16_t port);
