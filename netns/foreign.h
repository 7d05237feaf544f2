/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces of a network namespace that are not ours: ways out beside the link. */
#pragma once

#include <net/if.h>
#include <stddef.h>

#define FOREIGN_MAX 64

struct foreign {
	size_t n;
	char names[FOREIGN_MAX][IFNAMSIZ];
};
