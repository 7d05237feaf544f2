/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bouquet: the environment variables that send well-behaved clients through the proxy. Which there are, and why, is
 * one table (bouquet_table.c); what a container gets of it is a value, made of the proxy's address and the policy's
 * "environment", and what it does to an environment that is there.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/image.h"

enum bouquet_kind {
	BOUQUET_PROXY = 1, /* says where the proxy is, what goes past it, or that it is to be used */
	BOUQUET_MARKER,    /* says that we are here */
	BOUQUET_SECRET,    /* makes clients write down what gives their traffic away */
};

enum bouquet_value {
	BOUQUET_URL = 1,   /* http://ADDRESS:PORT for every scheme: it says how to talk to the proxy */
	BOUQUET_ALL_URL,   /* the same, or socks5h:// where the policy says so */
	BOUQUET_HOST_PORT, /* ADDRESS:PORT */
	BOUQUET_DIRECT,    /* what is not worth a hop: the container's own loopback; and what a policy opens */
	BOUQUET_ONE,       /* 1 */
	BOUQUET_TRUE,      /* true */
	BOUQUET_JAVA,      /* options for a JVM, behind those that are there */
	BOUQUET_OUT,       /* taken out */
};

/* One variable. Texts are for people; trap is NULL where there is none. */
struct bouquet_row {
	const char *name;
	enum bouquet_value value;
	enum bouquet_kind kind;
	enum image_profile profile; /* the least that has it */
	const char *clients;        /* who reads it */
	const char *documented;     /* where: a URL or a manual page */
	const char *trap;
};

/* By kind, and of a kind by profile. Ends with a name of NULL. */
extern const struct bouquet_row bouquet_rows[];

/* The row of that name, or NULL. */
const struct bouquet_row *bouquet_row(const char *name, size_t len);

/* May a policy keep what is there? Not where another proxy's address, and credentials, could be. */
bool bouquet_row_may_stay(const struct bouquet_row *row);

#define BOUQUET_NAME_MAX 128
#define BOUQUET_ROWS_MAX 48
#define BOUQUET_VARIABLES_MAX (BOUQUET_ROWS_MAX + IMAGE_SET_MAX)
#define BOUQUET_OWN_MAX 4096 /* bytes of an image's own variable that ours are put behind */
#define BOUQUET_SIZE (48u << 10)

struct bouquet {
	size_t n;                           /* variables that are set: bouquet_text() */
	size_t n_out;                       /* names that are taken out: they follow */
	size_t appended;                    /* which of n goes behind what is there; BOUQUET_NONE: none */
	size_t used;                        /* of bytes */
	uint32_t at[BOUQUET_VARIABLES_MAX]; /* offsets of texts, each with its NUL */
	char bytes[BOUQUET_SIZE];
};

#define BOUQUET_NONE SIZE_MAX

/* The bouquet for a proxy at addr:port (host byte order). image is the policy; NULL: one that says nothing. */
void bouquet_make(const struct image *image, struct in_addr addr, uint16_t port, struct bouquet *ret);

/* "NAME=value", i < n; behind them, i < n + n_out, names that are taken out. */
static inline const char *bouquet_text(const struct bouquet *bouquet, size_t i)
{
	return bouquet->bytes + bouquet->at[i];
}

/*
 * Called with each variable of an environment, in its order, before it is changed: what there is under the name that
 * ours go behind is put in front of ours, unless it ends with them already. What is longer than BOUQUET_OWN_MAX stays
 * as it is: the bouquet then has nothing under that name.
 */
void bouquet_adopt(struct bouquet *bouquet, const char *variable, size_t len);

/* For an environment that nobody can read beforehand: leaves out what would go behind what is there. */
void bouquet_leave_appended(struct bouquet *bouquet);

/* What the bouquet sets under this variable's name ("NAME=value" or "NAME", NUL-terminated), NULL: nothing. */
const char *bouquet_find(const struct bouquet *bouquet, const char *variable);

/*
 * Does the bouquet replace this variable ("NAME=value", NUL-terminated), or take it out? By name, exactly. What it
 * replaces is dropped wherever it stands in an environment, so that no credentials in it survive and no name is there
 * twice.
 */
bool bouquet_replaces(const struct bouquet *bouquet, const char *variable);
