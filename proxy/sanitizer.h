/* SPDX-License-Identifier: Apache-2.0 */
/* Is this a build with a sanitizer's runtime in it, which makes system calls of its own? */
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
