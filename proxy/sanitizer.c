/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the sanitizers' runtimes for a program that is started with an empty environment. The leak checker clones
 * and ptraces at exit, which neither the worker's system calls nor a process that is not dumpable allow.
 */
#include "proxy/sanitizer.h"

#ifdef SANITIZED
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#else
typedef int sanitizer_none; /* ISO C wants a declaration in every file */
#endif
