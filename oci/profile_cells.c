/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/profile_cells.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

static_assert(AF_UNIX == 1 && AF_INET == 2 && AF_INET6 == 10 && AF_NETLINK == 16, "the denials below count on these");
static_assert(SOCK_STREAM == 1 && SOCK_DGRAM == 2 && SOCK_RAW == 3, "and these");

#define PIECES_MAX 512 /* of a profile: more would be nobody's, and must not take for ever */

/* clang-format off */
#define EQ(n, value) { n, SCMP_CMP_EQ, value, 0 }
#define GT(n, value) { n, SCMP_CMP_GT, value, 0 }
#define BITS(n, mask, value) { n, SCMP_CMP_MASKED_EQ, mask, value }
/* clang-format on */

/* SOCK_CLOEXEC and SOCK_NONBLOCK lie above the low four bits of the type. */
#define STREAM BITS(1, 0xf, SOCK_STREAM)
#define DGRAM_OR_RAW BITS(1, 0xe, SOCK_DGRAM)

const struct profile_cell profile_cells[] = {
	{ "socket", 1, { EQ(0, AF_UNIX) } },
	{ "socket", 3, { EQ(0, AF_INET), STREAM, EQ(2, 0) } },
	{ "socket", 3, { EQ(0, AF_INET), STREAM, EQ(2, IPPROTO_TCP) } },
	{ "socket", 3, { EQ(0, AF_INET6), STREAM, EQ(2, 0) } },
	{ "socket", 3, { EQ(0, AF_INET6), STREAM, EQ(2, IPPROTO_TCP) } },
	{ "socket", 3, { EQ(0, AF_NETLINK), DGRAM_OR_RAW, EQ(2, 0) } },
	{ "socketpair", 1, { EQ(0, AF_UNIX) } },
	{ 0 },
};

/*
 * No two of these, nor one and a cell, meet in an argument's condition unless they are the same: where they overlap,
 * libseccomp decides by the first and forgets the second.
 */
#define FAMILY(f)                \
	{                        \
		"socket", 1,     \
		{                \
			EQ(0, f) \
		}                \
	}
#define TYPE(f, t)                                \
	{                                         \
		"socket", 2,                      \
		{                                 \
			EQ(0, f), BITS(1, 0xf, t) \
		}                                 \
	}
#define PROTOCOL(f, p)                             \
	{                                          \
		"socket", 3,                       \
		{                                  \
			EQ(0, f), STREAM, EQ(2, p) \
		}                                  \
	}
#define INET(f)                                                                                                     \
	TYPE(f, 0), TYPE(f, 2), TYPE(f, 3), TYPE(f, 4), TYPE(f, 5), TYPE(f, 6), TYPE(f, 7), TYPE(f, 8), TYPE(f, 9), \
		TYPE(f, 10), TYPE(f, 11), TYPE(f, 12), TYPE(f, 13), TYPE(f, 14), TYPE(f, 15), PROTOCOL(f, 1),       \
		PROTOCOL(f, 2), PROTOCOL(f, 3), PROTOCOL(f, 4), PROTOCOL(f, 5),                                     \
	{                                                                                                           \
		"socket", 3,                                                                                        \
		{                                                                                                   \
			EQ(0, f), STREAM, GT(2, IPPROTO_TCP)                                                        \
		}                                                                                                   \
	}

const struct profile_cell profile_denials[] = {
	FAMILY(0),
	FAMILY(3),
	FAMILY(4),
	FAMILY(5),
	FAMILY(6),
	FAMILY(7),
	FAMILY(8),
	FAMILY(9),
	FAMILY(11),
	FAMILY(12),
	FAMILY(13),
	FAMILY(14),
	FAMILY(15),
	{ "socket", 1, { GT(0, AF_NETLINK) } },
	INET(AF_INET),
	INET(AF_INET6),
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0x0) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0x4) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0x6) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0x8) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0xa) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0xc) } },
	{ "socket", 2, { EQ(0, AF_NETLINK), BITS(1, 0xe, 0xe) } },
	{ "socket", 3, { EQ(0, AF_NETLINK), DGRAM_OR_RAW, GT(2, 0) } },
	{ "socketpair", 1, { EQ(0, 0) } },
	{ "socketpair", 1, { GT(0, AF_UNIX) } },
	{ 0 },
};

static bool holds(const struct scmp_arg_cmp *c, uint64_t value)
{
	switch (c->op) {
	case SCMP_CMP_NE:
		return value != c->datum_a;
	case SCMP_CMP_LT:
		return value < c->datum_a;
	case SCMP_CMP_LE:
		return value <= c->datum_a;
	case SCMP_CMP_EQ:
		return value == c->datum_a;
	case SCMP_CMP_GE:
		return value >= c->datum_a;
	case SCMP_CMP_GT:
		return value > c->datum_a;
	case SCMP_CMP_MASKED_EQ: /* libseccomp masks the datum as well */
		return (value & c->datum_a) == (c->datum_b & c->datum_a);
	default:
		return false;
	}
}

/* Does a hold wherever b does? False where that is not seen at once. */
static bool follows(const struct scmp_arg_cmp *a, const struct scmp_arg_cmp *b)
{
	if (a->arg != b->arg)
		return false;
	if (b->op == SCMP_CMP_EQ)
		return holds(a, b->datum_a);
	if (a->op == SCMP_CMP_NE)
		return !holds(b, a->datum_a);
	if (a->op == SCMP_CMP_MASKED_EQ && b->op == SCMP_CMP_MASKED_EQ)
		return (a->datum_a & ~b->datum_a) == 0 && holds(a, b->datum_b & b->datum_a);
	if (b->op == SCMP_CMP_GT && b->datum_a < UINT64_MAX && (a->op == SCMP_CMP_GT || a->op == SCMP_CMP_GE))
		return holds(a, b->datum_a + 1);
	return a->op == b->op && a->datum_a == b->datum_a && a->datum_b == b->datum_b;
}

static bool covers(const struct profile_cell *a, const struct profile_cell *b)
{
	for (unsigned i = 0; i < a->n_args; i++) {
		bool found = false;
		for (unsigned j = 0; j < b->n_args && !found; j++)
			found = follows(&a->args[i], &b->args[j]);
		if (!found)
			return false;
	}
	return true;
}

void profile_pieces_free(struct profile_pieces *pieces)
{
	free(pieces->at);
}

static int add_piece(struct profile_pieces *pieces, const struct profile_rule *rule, const struct profile_cell *cell,
	struct error *err)
{
	for (size_t i = 0; i < pieces->n; i++) {
		const struct profile_piece *p = &pieces->at[i];
		if (p->rule->action == rule->action && strcmp(p->cell.name, cell->name) == 0 && covers(&p->cell, cell))
			return 0;
	}
	if (pieces->n == PIECES_MAX)
		return error_say(err, EINVAL, "too many rules for %s, whose pieces would be more than %d", cell->name,
			PIECES_MAX);
	if (pieces->n == pieces->size) {
		size_t size = pieces->size ? pieces->size * 2 : 16;
		struct profile_piece *at = reallocarray(pieces->at, size, sizeof(*at));
		if (!at)
			return error_set(err, ENOMEM, "merge seccomp profile");
		pieces->at = at;
		pieces->size = size;
	}
	pieces->at[pieces->n++] = (struct profile_piece){ rule, *cell };
	return 0;
}

static struct scmp_arg_cmp *condition_on(struct profile_cell *cell, unsigned arg)
{
	for (unsigned i = 0; i < cell->n_args; i++)
		if (cell->args[i].arg == arg)
			return &cell->args[i];
	return NULL;
}

/*
 * By a type that the kernel takes: of the values with these low bits, the four with nothing but known flags above.
 * own: the cell's condition.
 */
static int cut_type(struct profile_pieces *pieces, const struct profile_rule *rule, const struct profile_cell *cell,
	struct scmp_arg_cmp *own, const struct scmp_arg_cmp *c, struct error *err)
{
	static const uint64_t flags[] = { 0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK };
	const struct scmp_arg_cmp was = *own;
	int r = 0;
	for (uint64_t low = 0; low < 16; low++)
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(flags); i++) {
			uint64_t type = low | flags[i];
			if (!holds(&was, type) || !holds(c, type))
				continue;
			*own = (struct scmp_arg_cmp) EQ(was.arg, type);
			r = add_piece(pieces, rule, cell, err);
		}
	return r;
}

/* The cell, where the condition holds too that meets its own one under a mask or of a range. */
static int narrow(struct profile_pieces *pieces, const struct profile_rule *rule, struct profile_cell cell,
	const struct scmp_arg_cmp *c, struct error *err)
{
	struct scmp_arg_cmp *own = condition_on(&cell, c->arg);
	if (follows(c, own))
		return add_piece(pieces, rule, &cell, err);
	if (follows(own, c)) {
		*own = *c;
		return add_piece(pieces, rule, &cell, err);
	}
	if (own->op != SCMP_CMP_MASKED_EQ || c->op == SCMP_CMP_EQ)
		return 0; /* none; or, of a range, what no single condition says */
	if (c->op != SCMP_CMP_MASKED_EQ && profile_permits(rule->action))
		return cut_type(pieces, rule, &cell, own, c, err);
	if (c->op != SCMP_CMP_MASKED_EQ) { /* a denial may reach beyond the cell, into what is denied */
		*own = *c;
		return add_piece(pieces, rule, &cell, err);
	}
	if ((c->datum_b ^ own->datum_b) & c->datum_a & own->datum_a)
		return 0;
	own->datum_b = (own->datum_b & own->datum_a) | (c->datum_b & c->datum_a);
	own->datum_a |= c->datum_a;
	return add_piece(pieces, rule, &cell, err);
}

/* conditions: one on an argument at most. */
static int cut_cell(struct profile_pieces *pieces, const struct profile_rule *rule,
	const struct scmp_arg_cmp *conditions, unsigned n, struct profile_cell cell, struct error *err)
{
	const struct scmp_arg_cmp *left = NULL;
	for (unsigned i = 0; i < n; i++) {
		const struct scmp_arg_cmp *c = &conditions[i], *own = condition_on(&cell, c->arg);
		if (!own) {
			cell.args[cell.n_args++] = *c;
		} else if (own->op != SCMP_CMP_EQ) {
			if (left)
				return 0; /* no cell has two that are none, but for protocols: those of denials */
			left = c;
		} else if (!holds(c, own->datum_a)) {
			return 0;
		}
	}
	return left ? narrow(pieces, rule, cell, left, err) : add_piece(pieces, rule, &cell, err);
}

static int cut_conditions(struct profile_pieces *pieces, const struct profile_rule *rule, const char *name,
	const struct scmp_arg_cmp *conditions, unsigned n, const struct profile_cell *cells, struct error *err)
{
	int r = 0;
	for (const struct profile_cell *cell = cells; r == 0 && cell->name; cell++)
		if (strcmp(cell->name, name) == 0)
			r = cut_cell(pieces, rule, conditions, n, *cell, err);
	return r;
}

int profile_cut(struct profile_pieces *pieces, const struct profile_rule *rule, const char *name,
	const struct profile_cell *cells, struct error *err)
{
	if (!profile_alternatives(rule))
		return cut_conditions(pieces, rule, name, rule->args, rule->n_args, cells, err);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < rule->n_args; i++)
		r = cut_conditions(pieces, rule, name, &rule->args[i], 1, cells, err);
	return r;
}

bool profile_pieces_cover(const struct profile_pieces *pieces, const struct profile_cell *cell)
{
	for (size_t i = 0; i < pieces->n; i++)
		if (strcmp(pieces->at[i].cell.name, cell->name) == 0 && covers(&pieces->at[i].cell, cell))
			return true;
	return false;
}
