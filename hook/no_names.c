/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libnl's readers of addresses and protocols would ask the C library, for names that nobody here gives them. Those
 * of a static C library load shared ones when they are called, of which the linker warns; these, in their place, know
 * of nothing, and keep the C library's resolver out of the program.
 */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	(void) node;
	(void) service;
	(void) hints;
	(void) res;
	return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *res)
{
	(void) res;
}

struct protoent *getprotobyname(const char *name)
{
	(void) name;
	return NULL;
}

struct protoent *getprotobynumber(int proto)
{
	(void) proto;
	return NULL;
}
