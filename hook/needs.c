/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/needs.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "proxy/control.h"

void needs_add(struct text *text, uint32_t needs, const char *quote)
{
	static const struct {
		enum control_needs need;
		const char *word;
	} words[] = {
		{ CONTROL_NEEDS_LINK, "link" },
		{ CONTROL_NEEDS_PROXY, "proxy" },
		{ CONTROL_NEEDS_CONNECTIONS, "limits.connections" },
		{ CONTROL_NEEDS_LOG_BYTES, "limits.log_bytes" },
		{ CONTROL_NEEDS_GATE, "direct, inbound or gate" },
	};
	const char *before = "";
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!(needs & words[i].need))
			continue;
		text_add(text, "%s%s%s%s", before, quote, words[i].word, quote);
		before = ", ";
	}
}
