/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One name server, asked over UDP, and over TCP what comes truncated (RFC 7766). An answer must come from the server
 * and fit id and question of what it was asked (RFC 5452 section 9); all else is passed over. Which server is asked
 * when, and what an answer says, is not its business.
 *
 * Ports are random, and an answer must come to the one that was asked from: a port serves few questions, however long
 * they stay open, so that who can open one cannot hold the port of another (RFC 5452 section 9.2). What goes wrong with
 * TCP ends only questions that are asked over it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/resolvconf.h"

#define NAME_SERVER_WAIT_MS 8000   /* for an answer */
#define NAME_SERVER_ASKED_MAX 2048 /* at a time */

struct epoll_event;
struct name_server;
struct asked;

/*
 * Called once, from within name_server_process(). bytes NULL: the server cannot be reached, or said nothing; or, with
 * error an errno, it could not be asked.
 */
typedef void name_server_answered(void *arg, const uint8_t *bytes, size_t len, int error, int64_t now_ms);

/* Its sockets are watched by epoll, with tag in the upper half of data.u64. NULL: no memory. */
struct name_server *name_server_new(const struct resolvconf_server *where, int epoll, uint32_t tag);

/* answered is not called any more. */
void name_server_free(struct name_server *server);

/* Asks query (proxy/dns_message.h). NULL and errno: it could not be sent. */
struct asked *name_server_ask(struct name_server *server, const uint8_t *query, size_t len, int64_t now_ms,
	name_server_answered *answered, void *arg);

/* answered is not called any more. The answer is still listened for: that it comes says something of the server. */
void name_server_forget(struct asked *asked);

/* An event of one of its sockets; NULL: the time of name_server_due_ms() has come. */
void name_server_process(struct name_server *server, const struct epoll_event *event, int64_t now_ms);

/* INT64_MAX: nothing is asked. */
int64_t name_server_due_ms(const struct name_server *server);

/* When it last answered what it had been asked; -1: never yet. */
int64_t name_server_heard_ms(const struct name_server *server);
