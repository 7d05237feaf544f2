/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a keeper follows its policy's file, and the host's resolv.conf and hosts:
 *
 *     something has changed, or somebody asks   due_ms
 *     the policy has another stamp              `oci-egress compile` runs (proxy/compiling.h), unless its image is
 *                                               there, or another keeper's compile runs
 *     its image says something else             offered to the worker, which reviews its connections
 *     the worker has done so                    it holds
 *
 * One at a time: what changes meanwhile is looked at afterwards. What goes wrong on the way changes nothing, and is
 * said in syslog, in the container's log and by `status`. A worker that dies on the way, or has to be killed because it
 * does not answer, is followed by one that starts with the new image.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/image.h"
#include "base/stamp.h"
#include "proxy/compiling.h"
#include "proxy/names.h"
#include "proxy/watching.h"

struct keeper;
struct control_status;

struct reloading {
	const char *on_failure; /* for compiling */
	char stamp[STAMP_SIZE]; /* of the policy's version that was looked at last */
	struct names_file names[2];
	struct watching watching;
	struct compiling compiling;
	int64_t due_ms;   /* when to look; INT64_MAX: not at all */
	int64_t first_ms; /* when the first change was reported of those that due_ms waits for; 0: none was */

	const struct image *offered; /* to the worker; NULL: none is */
	size_t offered_len;
	int offered_fd;
	int64_t offered_end_ms;
	uint32_t reviews;    /* that the worker owes */
	int wait_ms;         /* for what others compile, until the next look; 0: there is nothing to wait for */
	int64_t wait_end_ms; /* and at most */
	int tries;           /* to open an image that was replaced before it was opened */
	uint64_t before;     /* image_fingerprint() of the version that the present one replaced; 0: none */

	uint32_t link;        /* enum image_link, as the keeper began */
	uint64_t gate;        /* what the namespace's gate was made from, as a digest */
	struct error failure; /* of the last version; code 0: none */
	uint32_t needs;       /* enum control_needs */
	uint32_t count;       /* of versions that came after the first */
	int64_t since;        /* when the present one came; seconds since the epoch */
};

/* The keeper has its image: before anything else here. stamp: of the file that it was made from. */
void reloading_init(struct keeper *keeper, const char *stamp, const char *on_failure);

/* Watches from now on, and looks for what has changed before. Once. */
void reloading_begin(struct keeper *keeper);

/* Somebody asks for a look now. Ends in server_on_reload(). */
void reloading_ask(struct keeper *keeper);

/* A hook has come with another version: which one is the file's is for a look to tell, whatever the last one saw. */
void reloading_doubt(struct keeper *keeper);

/* Is a look to be made; is what one has found on its way? */
bool reloading_is_due(const struct keeper *keeper);
bool reloading_is_busy(const struct keeper *keeper);

/* Is it the version before the present one? Then its hook has read the file before it was changed. */
bool reloading_is_overtaken(const struct keeper *keeper, const struct image *image);

/*
 * Offers an image that a hook brought, of the keeper's own policy in another version; fd and the mapping are taken over
 * on success. -EEXIST: this keeper cannot come by it.
 */
int reloading_offer(struct keeper *keeper, const struct image *image, size_t len, int fd, struct error *err);

/* Poll's results: something has changed; the compiler has said something; the worker has reviewed; it is gone. */
void reloading_on_change(struct keeper *keeper);
void reloading_on_compiler(struct keeper *keeper);
void reloading_on_review(struct keeper *keeper, uint32_t ended);
void reloading_on_worker_gone(struct keeper *keeper);

/* Nothing serves any more: nothing is followed. */
void reloading_stop(struct keeper *keeper);

/* Whatever is due. */
void reloading_advance(struct keeper *keeper);
int64_t reloading_next_ms(const struct keeper *keeper);

/* What a namespace's gate is made from, as a digest. */
uint64_t reloading_gate(const struct image *image);

/* A hook has made the gate anew, or the first one has made it, from an image with this digest. */
void reloading_follow_gate(struct keeper *keeper, uint64_t gate);

/* What of the policy that holds only a new container can have: enum control_needs. */
uint32_t reloading_needs(const struct keeper *keeper);

void reloading_status(const struct keeper *keeper, struct control_status *status);
