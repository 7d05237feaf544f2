/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log: one JSON line per connection, at its end, each written by one write(2) to an O_APPEND descriptor. A
 * log that has reached its size is exchanged by the keeper; until the new one comes, lines wait in a bounded queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/host.h"
#include "oci/image.h"
#include "proxy/reason.h"
#include "proxy/scoreboard.h"

struct access_log;

/* A rule of a version of the policy that is gone, copied. To be freed. */
struct access_kept {
	uint32_t line;
	uint32_t len;
	char text[];
};

/* What a line says beside time, container and policy. */
struct access_entry {
	const char *via;         /* the door; NULL: not known any more */
	const struct host *host; /* NULL: none was asked for */
	uint16_t port;
	const struct address *dialled;   /* NULL: none */
	const struct address *forbidden; /* that the host resolved to, with REASON_ADDRESS_FORBIDDEN; NULL: not known */
	const struct image_rule *rule;   /* that decided; NULL: none */
	const struct access_kept *kept;  /* NULL, or what stands for rule */
	enum reason reason;
	bool passed; /* it became a tunnel, or had its response */
	uint64_t bytes_up;
	uint64_t bytes_down;
	int64_t duration_ms;
};

/*
 * fd, image and counters must stay; container NULL: there is none (foreground). max is the size at which the log wants
 * to be exchanged, 0: never; channel is where it says so (-1: nowhere).
 */
int access_log_new(int fd, const char *container, size_t container_len, const struct image *image, uint32_t max,
	int channel, struct scoreboard_counters *counters, struct access_log **ret, struct error *err);
void access_log_free(struct access_log *log);

/* Another image, and another max, hold from now on. No rule of the image before is to be written any more. */
void access_log_follow(struct access_log *log, const struct image *image, uint32_t max);

/* NULL where there is no memory for it. */
struct access_kept *access_log_keep_rule(const struct access_log *log, const struct image_rule *rule);

void access_log_write(struct access_log *log, const struct access_entry *entry);

/* Says that no connections are accepted for now, REASON_LIMIT_*. */
void access_log_write_pause(struct access_log *log, enum reason reason);

/* Says what became of a new version of the policy: error NULL: it holds, and has ended so many tunnels. */
void access_log_write_policy(struct access_log *log, uint64_t version, uint32_t ended, const char *error);

/* Goes on with the next file, which has size bytes and belongs to the log from now on. */
void access_log_exchange(struct access_log *log, int fd, uint64_t size);

/* "denied", "bad-request", "failed" or "allowed". */
const char *access_verdict(enum reason reason, bool passed);
