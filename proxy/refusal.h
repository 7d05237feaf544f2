/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a request that was refused: the same behind every door, in the log and by `oci-egress check`. The
 * host is in its canonical spelling, and entries are as the policy has them: nothing else that a client sent is
 * repeated, and nothing of the host that the client did not name itself, but the policy's name and the entry that
 * decided.
 */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/host.h"
#include "base/text.h"
#include "oci/image.h"
#include "proxy/reason.h"

struct refusal {
	enum reason reason;
	const char *problem;     /* a constant sentence more; NULL: none */
	const struct host *host; /* NULL: none was understood, and nothing below is known */
	uint16_t port;
	const struct image *image;
	const struct image_rule *rule; /* that decided; NULL: none */
	/* What the name resolved to and must not. NULL: not that, or whoever reads this must not know it. */
	const struct address *forbidden;
};

/* The longest of the texts below, about. */
#define REFUSAL_TEXT_MAX 2048

/* "SENTENCE PROBLEM", without the line's end. */
void refusal_add_sentence(struct text *text, const struct refusal *refusal);

/*
 * What the policy would have to say to allow it, as JSON: {"allow":["example.com:8443"]}. Nothing, and false, where
 * adding no line would.
 */
bool refusal_add_fix(struct text *text, const struct refusal *refusal);

/* The same for people: `To allow it: "allow": ["example.com:8443"] in policy "web".` Or nothing, and false. */
bool refusal_add_advice(struct text *text, const struct refusal *refusal);

/* `example.com:8443, entry "*.com". To allow it: ...`; nothing, and false, where no host is known. */
bool refusal_add_subject(struct text *text, const struct refusal *refusal);

/* For programs: one JSON object, without the line's end. */
void refusal_add_json(struct text *text, const struct refusal *refusal);
