/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "netns/link.h"
#include "netns/netns.h"
#include "netns/nft.h"

/* Behind everybody else's chains, in front of conntrack's last word on what is worth to be remembered. */
#define LAST "priority 2147483646"
#define TABLE "oci_egress"
#define FROM_OUTSIDE "0x6f652d67" /* no secret: who could set it in conntrack could do anything */
#define TEXT_SIZE 32768
#define ROUTES_MAX 256

/* Docker's, which asks the host's for any name. */
static const struct network name_server = { { AF_INET, { 127, 0, 0, 11 } }, 32 };

/*
 * Where clouds and clusters have what they tell their machines, and their name servers: link-local or private, but no
 * neighbours. Of 169.254.0.0/16 whole networks, for new ones come to be there; RFC 3927 keeps the first and the last
 * of it from hosts.
 */
static const struct network metadata[] = {
	{ { AF_INET, { 100, 100, 100, 200 } }, 32 },
	{ { AF_INET, { 168, 63, 129, 16 } }, 32 },
	{ { AF_INET, { 169, 254, 0 } }, 24 },
	{ { AF_INET, { 169, 254, 20 } }, 24 },
	{ { AF_INET, { 169, 254, 25 } }, 24 },
	{ { AF_INET, { 169, 254, 42 } }, 24 },
	{ { AF_INET, { 169, 254, 169 } }, 24 },
	{ { AF_INET, { 169, 254, 170 } }, 24 },
	{ { AF_INET, { 169, 254, 255 } }, 24 },
	{ { AF_INET, { 192, 0, 0, 192 } }, 32 },
	{ { AF_INET6, { 0xfd, 0x00, 0x00, 0x42 } }, 32 },
	{ { AF_INET6, { 0xfd, 0x00, 0x0e, 0xc2 } }, 32 },
	{ { AF_INET6, { 0xfd, 0x00, 0xa9, 0xfe, 0xa9, 0xfe } }, 48 },
	{ { AF_INET6, { 0xfd, 0x20, 0x00, 0xce } }, 32 },
	{ { AF_INET6, { 0xfe, 0x80, [12] = 0xa9, 0xfe } }, 112 },
};

/*
 * While a gate is replaced, the kernel hangs the new chain in before it takes the old one out, and gives it its policy
 * only afterwards: till then "drop" is what accepts. Rules change all at once. So each chain ends with one that drops.
 */
#define ELSE_DROP "drop\n}\n"

/* The rules, in nft(8)'s language. */
struct text {
	size_t len;
	bool full;
	char bytes[TEXT_SIZE];
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text->bytes + text->len, sizeof(text->bytes) - text->len, format, args);
	va_end(args);
	if (n < 0 || (size_t) n >= sizeof(text->bytes) - text->len)
		text->full = true;
	else
		text->len += (size_t) n;
}

static bool lists(const struct gate_config *config, const struct network *network)
{
	for (size_t i = 0; i < config->n_direct; i++)
		if (config->direct[i].prefix == network->prefix &&
			address_equal(&config->direct[i].base, &network->base))
			return true;
	return false;
}

static bool is_metadata(const struct network *network)
{
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
		if (network->prefix >= metadata[i].prefix && network_contains(&metadata[i], &network->base))
			return true;
	return false;
}

static void add_verdict(struct text *text, const struct network *network, const char *verdict)
{
	char written[NETWORK_TEXT_MAX];
	network_format(network, written);
	add(text, "%s daddr %s %s\n", network->base.family == AF_INET ? "ip" : "ip6", written, verdict);
}

/* What lies in a network of metadata was listed for its own sake, what is wider was not. */
static void add_direct(struct text *text, const struct gate_config *config)
{
	for (size_t i = 0; i < config->n_direct; i++)
		if (is_metadata(&config->direct[i]))
			add_verdict(text, &config->direct[i], "accept");
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
		add_verdict(text, &metadata[i], "return");
	for (size_t i = 0; i < config->n_direct; i++)
		if (!is_metadata(&config->direct[i]))
			add_verdict(text, &config->direct[i], "accept");
}

/*
 * What may leave: asked in the output hook and again where it leaves. What has other receivers than one comes back to
 * this namespace too, where any socket can read the mark of what it receives: it never gets one. A route in a packet's
 * own options ends elsewhere than where it is addressed to. Of neighbour discovery only the kernel's own passes: its
 * socket, unlike any program's, has no owner.
 */
static void add_permitted(struct text *text, const struct gate_config *config)
{
	add(text, "chain permitted {\n");
	if (!lists(config, &name_server))
		add_verdict(text, &name_server, "return");
	add(text, "oiftype loopback accept\n"
		  "oifname \"" LINK_NAME "\" accept\n"
		  "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } meta skuid >= 0 "
		  "return\n"
		  "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept\n"
		  "fib daddr type != unicast return\n"
		  "ip option lsrr exists return\n"
		  "ip option ssrr exists return\n"
		  "exthdr rt exists return\n");
	if (config->inbound)
		add(text, "ct state established ct direction reply ct mark " FROM_OUTSIDE " accept\n");
	add_direct(text, config);
	add(text, "}\n");
}

/*
 * Answers go to who has come in through another interface, not to who seems to: a raw socket makes packets with any
 * source, which come in through lo.
 */
static void add_inbound(struct text *text, bool inbound)
{
	if (inbound)
		add(text, "chain arriving {\n"
			  "type filter hook prerouting " LAST "; policy accept;\n"
			  "iiftype loopback accept\n"
			  "iifname \"" LINK_NAME "\" accept\n"
			  "ct state new ct mark set " FROM_OUTSIDE "\n"
			  "}\n");
	else
		add(text, "chain input {\n"
			  "type filter hook input " LAST "; policy drop;\n"
			  "iiftype loopback accept\n"
			  "iifname \"" LINK_NAME "\" accept\n"
			  "ct state established,related ct direction reply accept\n"
			  "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } "
			  "accept\n" ELSE_DROP);
}

/*
 * Raw sockets send fragments, the kernel makes its own only when postrouting is past. They are dropped before conntrack
 * puts them together: kernels without the fix of CVE-2024-26921 take the result from its socket, and what has no owner
 * passes for the kernel's own.
 */
static void add_whole(struct text *text)
{
	add(text, "chain whole {\n"
		  "type filter hook output priority -450; policy accept;\n"
		  "oiftype loopback accept\n"
		  "oifname \"" LINK_NAME "\" accept\n"
		  "ip frag-off & 0x3fff != 0 drop\n"
		  "exthdr frag exists drop\n"
		  "}\n");
}

/* The numbers that tell on an interface what has come by postrouting. */
struct secret {
	uint32_t mark, priority;
};

static void add_secret(struct text *text, const struct foreign *foreign, const struct secret *secret)
{
	if (foreign->n == 0)
		return;
	add(text, "oifname {");
	for (size_t i = 0; i < foreign->n; i++)
		add(text, "%s \"%s\"", i ? "," : "", foreign->names[i]);
	add(text, " } meta mark set 0x%08" PRIx32 " meta priority set %04" PRIx32 ":%04" PRIx32 "\n", secret->mark,
		secret->priority >> 16, secret->priority & 0xffff);
}

/* A refusal of what conntrack cannot place would end a connection that is in order. */
static void add_inet(
	struct text *text, const struct gate_config *config, const struct foreign *foreign, const struct secret *secret)
{
	add(text, "table inet " TABLE " {\n");
	add_permitted(text, config);
	add_whole(text);
	add_inbound(text, config->inbound);
	add(text, "chain output {\n"
		  "type filter hook output " LAST "; policy drop;\n"
		  "jump permitted\n"
		  "ct state invalid drop\n"
		  "meta l4proto tcp reject with tcp reset\n"
		  "reject with icmpx admin-prohibited\n" ELSE_DROP "chain forward {\n"
		  "type filter hook forward " LAST "; policy drop;\n" ELSE_DROP "chain leaving {\n"
		  "type filter hook postrouting " LAST "; policy drop;\n");
	add_secret(text, foreign, secret);
	add(text, "jump permitted\n" ELSE_DROP "}\n");
}

/* Both numbers go before anybody can see the packet on the interface: a packet socket reads the mark of what it sees.
 */
static void add_netdev(struct text *text, const struct foreign *foreign, const struct secret *secret)
{
	add(text, "table netdev " TABLE " {\n");
	for (size_t i = 0; i < foreign->n; i++)
		add(text,
			"chain egress%zu {\n"
			"type filter hook egress device \"%s\" " LAST "; policy drop;\n"
			"meta mark 0x%08" PRIx32 " meta priority %04" PRIx32 ":%04" PRIx32
			" meta mark set 0 meta priority set none accept\n" ELSE_DROP,
			i, foreign->names[i], secret->mark, secret->priority >> 16, secret->priority & 0xffff);
	add(text, "}\n");
}

static void add_arp(struct text *text, const struct foreign *foreign, const struct secret *secret)
{
	add(text, "table arp " TABLE " {\n"
		  "chain output {\n"
		  "type filter hook output " LAST "; policy accept;\n");
	add_secret(text, foreign, secret);
	add(text, "}\n"
		  "}\n");
}

static void add_each_family(struct text *text, const char *command)
{
	static const char *const families[] = { "inet", "netdev", "arp" };
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		add(text, "%s table %s " TABLE "\n", command, families[i]);
}

/* A name that needs no care in a rule; the kernel forbids few bytes, nft's quotes know no escape. */
static bool is_plain(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";
	return name[0] != '\0' && name[strspn(name, plain)] == '\0';
}

static int check_names(const struct foreign *foreign, struct error *err)
{
	for (size_t i = 0; i < foreign->n; i++)
		if (!is_plain(foreign->names[i]))
			return error_say(err, EINVAL,
				"an interface of the container's network namespace has a name that no rule can be "
				"written for; expected letters, digits and _ . @ -");
	return 0;
}

struct raising {
	const struct gate_config *config;
	struct foreign all; /* those that are there, and those that may come */
	struct secret secret;
	bool made;
};

static int check_chain(uint8_t family, const char *chain, struct error *err)
{
	int r = nft_has_chain(family, TABLE, chain, err);
	if (r == 0)
		r = error_say(err, EIO, "nft says that it has loaded the rules, and chain %s is not there", chain);
	return r < 0 ? r : 0;
}

/* Nothing depends on what nft's exit status means. */
static int check_loaded(const struct foreign *foreign, struct error *err)
{
	int r = check_chain(NFPROTO_INET, "output", err);
	if (r == 0)
		r = check_chain(NFPROTO_INET, "leaving", err);
	for (size_t i = 0; i < foreign->n && r == 0; i++) {
		char chain[32];
		(void) snprintf(chain, sizeof(chain), "egress%zu", i);
		r = check_chain(NFPROTO_NETDEV, chain, err);
	}
	return r;
}

static int load(struct text *text, const struct raising *raising, const struct foreign *foreign, struct error *err)
{
	add_inet(text, raising->config, foreign, &raising->secret);
	add_netdev(text, foreign, &raising->secret);
	add_arp(text, foreign, &raising->secret);
	if (text->full)
		return error_say(err, E2BIG, "the rules are too long");
	int r = nft_load(text->bytes, err);
	return r < 0 ? r : check_loaded(foreign, err);
}

static int create_or_replace(struct raising *raising, const struct foreign *foreign, struct error *err)
{
	struct text text = { .len = 0 };
	add_each_family(&text, "create");
	int r = load(&text, raising, foreign, err);
	raising->made = r == 0;
	if (r != -EEXIST)
		return r;
	text = (struct text){ .len = 0 };
	add_each_family(&text, "add");
	add_each_family(&text, "delete");
	return load(&text, raising, foreign, err);
}

static void expect(struct foreign *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->names[i], name) == 0)
			return;
	if (all->n < FOREIGN_MAX && is_plain(name) && strcmp(name, "lo") != 0 && strcmp(name, LINK_NAME) != 0)
		(void) snprintf(all->names[all->n++], sizeof(all->names[0]), "%s", name);
}

/* A line of route or ipv6_route, proc_net(5): does it have a default route, and by which interface? */
static bool read_route(const char *line, char ret[IFNAMSIZ])
{
	int whole = 0;
	return sscanf(line, "%15s 00000000 %*s %*s %*s %*s %*s 00000000 %n", ret, &whole) == 1 && whole > 0;
}

static bool read_route6(const char *line, char ret[IFNAMSIZ])
{
	int whole = 0;
	return sscanf(line, "00000000000000000000000000000000 00 %*s %*s %*s %*s %*s %*s %*s %15s %n", ret, &whole) ==
		       1 &&
	       whole > 0;
}

/* Of this namespace. Default routes stand at the beginning of a table or not far from it. */
static void expect_uplinks(struct foreign *all, const char *path, bool (*read)(const char *line, char ret[IFNAMSIZ]))
{
	FILE *file = fopen(path, "re");
	char line[256], name[IFNAMSIZ];
	for (int i = 0; file && i < ROUTES_MAX && fgets(line, sizeof(line), file); i++)
		if (read(line, name))
			expect(all, name);
	if (file)
		(void) fclose(file);
}

/*
 * Interfaces that may come, by the names that engines give them: tap0 is slirp4netns's, and pasta takes the name of the
 * host's that leads out.
 */
static void expect_usual(struct foreign *all)
{
	static const char *const names[] = { "eth0", "eth1", "eth2", "eth3", "tap0" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		expect(all, names[i]);
	expect_uplinks(all, "/proc/thread-self/net/route", read_route);
	expect_uplinks(all, "/proc/thread-self/net/ipv6_route", read_route6);
}

static int raise_here(void *arg, struct error *err)
{
	struct raising *raising = arg;
	if (getrandom(&raising->secret, sizeof(raising->secret), 0) != sizeof(raising->secret))
		return error_set(err, errno, "getrandom");
	raising->secret.mark |= 1; /* not 0, which packets have that nobody has marked */
	raising->secret.priority |= 1;

	int r = create_or_replace(raising, &raising->all, err);
	return r != -ENODEV ? r : create_or_replace(raising, raising->config->foreign, err);
}

int gate_raise(int netns, const struct gate_config *config, bool *ret_made, struct error *err)
{
	struct raising raising = { .config = config, .all = *config->foreign };
	expect_usual(&raising.all);
	int r = check_names(config->foreign, err);
	if (r == 0)
		r = netns_call(netns, raise_here, &raising, err);
	if (r < 0) {
		error_wrap(err, "gate");
		return error_close(err);
	}
	*ret_made = raising.made;
	return 0;
}

static int remove_here(void *arg, struct error *err)
{
	(void) arg;
	struct text text = { .len = 0 };
	add_each_family(&text, "delete");
	return nft_load(text.bytes, err);
}

void gate_remove(int netns)
{
	(void) netns_call(netns, remove_here, NULL, NULL);
}
