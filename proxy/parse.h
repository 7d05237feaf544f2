/* SPDX-License-Identifier: Apache-2.0 */
/* What every parser here comes to. None touches a socket: it looks at the caller's bytes, all of them since the first. */
#pragma once

enum parse_result {
	PARSE_DONE, /* it is complete */
	PARSE_MORE, /* what is there can be the beginning of one */
	PARSE_BAD,  /* whatever follows, it is none */
};
