/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of a policy's allow or deny: "host", "*.host", "1.2.3.4", "[v6]", each also with ":port". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"

struct entry {
	struct host host; /* of a wildcard: what follows "*." */
	bool wildcard;
	uint16_t port; /* 0: none given */
};

/* Returns NULL and *ret, or a constant sentence that says what is wrong and what to write instead. */
const char *entry_parse(const char *bytes, size_t len, struct entry *ret);
