/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled policy: one read-only, position-independent block of bytes, made by root (oci/policy.h) and read by
 * keeper and worker as it lies: from a sealed memfd, or from a file that all who use this policy map (oci/imagefile.h).
 * Native byte order and alignment: it never leaves the machine. Equal policies under equal names have equal bytes.
 *
 *     struct image | records (image_network, image_text) | groups | hosts | ports | bytes of text
 *
 * Rules are found by a hash of what they are about. A host (a name, a wildcard or an address) and all that allow and
 * deny say about it lie side by side, the hosts in the order of their hashes. Two hosts in the mean make a bucket,
 * whose number is the hash, scaled; 20 buckets make a group, whose line in the groups says where each of them starts,
 * and has for each eight bits that tell most absent hosts. So a question costs one access to the groups (1.6 bytes for
 * each host: those of a million stay in the processor's caches), and for what is listed one more, to some 90 bytes that
 * hold key, ports and lines without another pointer to follow; the name's and the wildcard's above it are fetched side
 * by side. Of a million hosts a sorted table would cost twenty accesses one after the other, and open addressing one
 * more than this, and its empty slots. No host is stored twice, and an entry that is written in canonical form shares
 * its bytes with the host's key: 45 bytes for each entry where names have 17.
 *
 * The hash needs no secret: only the policy's author chooses what lies in a bucket, a client only which bucket is read.
 *
 * Whoever maps an image relies on nothing that it would have to read all of it to know: image_check() reads the header
 * and the small tables, and each access to a bucket is held to the image's bounds when it is made. A broken image can
 * decide wrongly, which only root could bring about, but nothing reads outside of it; and a worker that starts touches
 * a few pages of the fifty megabytes that it shares.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_MAGIC 0x4547524fu /* "ORGE" */
#define IMAGE_VERSION 5u
#define IMAGE_SIZE_MAX (512u << 20)

#define IMAGE_CONNECTIONS_MAX 100000
#define IMAGE_STARTUP_MS_MIN 100
#define IMAGE_STARTUP_MS_MAX 600000
#define IMAGE_STARTUP_MS 10000 /* where the policy does not say */
#define IMAGE_STOP_MS 2000
#define IMAGE_STOP_MS_MAX 60000
#define IMAGE_ARGV_MAX 1024
#define IMAGE_DIRECT_MAX 32 /* all of them stand in NO_PROXY */
#define IMAGE_SET_MAX 32
#define IMAGE_SET_BYTES_MAX 8192 /* all of "NAME=value", each with a NUL */
#define IMAGE_KEEP_MAX 32

enum image_proxy {
	IMAGE_PROXY_BUILTIN = 1,
	IMAGE_PROXY_EXTERNAL, /* every byte goes to the external proxy; no rules */
};

enum image_link {
	IMAGE_LINK_AUTO = 1,
	IMAGE_LINK_VETH,
	IMAGE_LINK_SOCKET,
};

enum image_on_failure {
	IMAGE_ON_FAILURE_OPEN = 1,
	IMAGE_ON_FAILURE_CLOSED,
};

/* A tunnel whose TLS ClientHello names another host than was asked for. */
enum image_sni {
	IMAGE_SNI_MATCH = 1, /* is closed */
	IMAGE_SNI_OFF,       /* is not looked at */
};

/* Tunnels that a new version of the policy does not allow any more. */
enum image_on_reload {
	IMAGE_ON_RELOAD_END = 1,
	IMAGE_ON_RELOAD_KEEP,
};

/* Connections that come in through other interfaces than ours. */
enum image_inbound {
	IMAGE_INBOUND_ALLOW = 1, /* are answered */
	IMAGE_INBOUND_DENY,
};

/* Where the container's network namespace gets a gate (netns/gate.h). */
enum image_gate {
	IMAGE_GATE_AUTO = 1, /* where there are other interfaces, or may be some later */
	IMAGE_GATE_ALWAYS,
	IMAGE_GATE_NEVER, /* one with other interfaces is refused */
};

/* How much of the bouquet a container gets (oci/bouquet.h). Each has what those before it have. */
enum image_profile {
	IMAGE_PROFILE_NONE = 1, /* nothing but what the policy sets */
	IMAGE_PROFILE_PROXY,    /* what is a convention of many clients */
	IMAGE_PROFILE_FULL,     /* and what one client reads */
};

/* How to talk to the proxy by all_proxy. */
enum image_all_proxy {
	IMAGE_ALL_PROXY_HTTP = 1,
	IMAGE_ALL_PROXY_SOCKS5H,
};

/* Offset from the image's start and number of bytes; a NUL follows them that len does not count. */
struct image_text {
	uint32_t offset;
	uint32_t len;
};

/* A table: count records, the first at offset. */
struct image_table {
	uint32_t offset;
	uint32_t count;
};

enum image_rule_kind {
	IMAGE_RULE_NAME = 1, /* this name and no other */
	IMAGE_RULE_WILDCARD, /* "*.name": exactly one label in front of name */
	IMAGE_RULE_ADDRESS4,
	IMAGE_RULE_ADDRESS6,
};

enum image_list {
	IMAGE_LIST_DENY = 1,
	IMAGE_LIST_ALLOW,
};

/* One entry of allow or deny. Of a host they are sorted by (list, port) and have no doubles. */
struct image_rule {
	uint32_t line;          /* of the policy file, from 1 */
	uint16_t port;          /* 0: in allow the policy's ports, in deny every port */
	uint16_t list;          /* enum image_list */
	struct image_text text; /* the entry as the administrator wrote it */
};

/*
 * What all entries with the same host say: its rules lie behind its bytes, from the next multiple of 4, and behind them
 * the next host of the bucket, or zeros. Bytes: the key and a NUL; of a wildcard "*." in front of them. The key is the
 * canonical name (of a wildcard: what follows "*."), or the address's 4 or 16 bytes.
 */
struct image_host {
	uint32_t n_rules;
	uint8_t kind; /* enum image_rule_kind */
	uint8_t key_len;
	uint16_t zero;
	char bytes[];
};

#define IMAGE_GROUP 20 /* buckets: as many as make a line of the processor's cache */

/*
 * Where the hosts of some buckets are. A bucket ends where the next one starts; behind the last group is one more,
 * whose start is where all hosts end.
 */
struct image_group {
	uint32_t start;            /* offset of the first bucket */
	uint16_t at[IMAGE_GROUP];  /* of each, in units of image.unit bytes from start */
	uint8_t tags[IMAGE_GROUP]; /* of each: image_tag() of all its hosts */
};

/*
 * One entry of networks: addresses of the floor that a listed name may resolve to all the same. Or of direct: what is
 * reached past the proxy; "lan" is an entry for each of its networks.
 */
struct image_network {
	uint16_t family; /* AF_INET or AF_INET6 */
	uint16_t prefix;
	uint8_t bytes[16];
	uint32_t line;
	struct image_text text;
};

/* Of one worker. Milliseconds and bytes. */
struct image_limits {
	uint32_t connections;            /* open at a time, tunnels and heads together */
	uint32_t connections_per_second; /* accepted; 0: as many as come */
	uint32_t head_bytes;             /* of a request: its line and fields */
	uint32_t response_head_bytes;    /* of an origin's response: its status line and fields */
	uint32_t trailer_bytes;          /* of chunked content: a size line, all extensions, the trailer section */
	uint32_t head_timeout_ms;        /* from accept to the end of the head or of the SOCKS handshake, absolute */
	uint32_t resolve_timeout_ms;     /* one name, all servers and tries */
	uint32_t connect_timeout_ms;     /* to the origin, all addresses */
	uint32_t idle_timeout_ms;        /* a tunnel or exchange without a byte either way */
	uint32_t total_timeout_ms;       /* from accept to the end; 0: none */
	uint32_t bytes_per_second_up;    /* client to origin, all connections together; 0: as fast as it goes */
	uint32_t bytes_per_second_down;  /* origin to client */
	uint32_t lookups;                /* names asked for at a time */
	uint32_t log_bytes;              /* of the container's log before it is rotated; one older file is kept */
};

/* What each limit may be, and what it is where the policy does not say. Ends with a name of NULL. */
struct image_range {
	const char *name;
	size_t offset; /* in struct image_limits */
	uint32_t min, max, standard;
};
extern const struct image_range image_ranges[];

/* The hook's: a worker has no use for it. */
struct image_environment {
	uint32_t profile;        /* enum image_profile */
	uint32_t all_proxy;      /* enum image_all_proxy */
	struct image_table set;  /* of image_text, "NAME=value"; at most IMAGE_SET_MAX, IMAGE_SET_BYTES_MAX together */
	struct image_table keep; /* of image_text, names; at most IMAGE_KEEP_MAX */
};

struct image_external {
	struct image_table argv; /* of image_text; argv[0] is an absolute path */
	struct image_text user;  /* empty: oci-egress where there is one, else nobody */
	uint32_t port;           /* 0: any that is free */
	uint32_t stop_timeout_ms;
};

struct image {
	uint32_t magic;
	uint32_t version;
	uint64_t fingerprint; /* of all other bytes */
	uint32_t size;        /* of everything */
	uint32_t proxy;       /* enum image_proxy */
	uint32_t link;        /* enum image_link */
	uint32_t on_failure;  /* enum image_on_failure */
	uint32_t sni;         /* enum image_sni */
	uint32_t on_reload;   /* enum image_on_reload */
	uint32_t inbound;     /* enum image_inbound */
	uint32_t gate;        /* enum image_gate */
	uint32_t startup_timeout_ms;
	struct image_limits limits;
	struct image_text name;      /* of the policy */
	struct image_text file;      /* that it was read from */
	struct image_table ports;    /* of uint16_t, ascending */
	struct image_table networks; /* of image_network, sorted by (family, bytes, prefix) */
	struct image_table direct;   /* the same; at most IMAGE_DIRECT_MAX */
	struct image_table groups;   /* of image_group; empty: there are no hosts */
	uint32_t unit;               /* 4, or more where a group's hosts are very large: a power of 2 */
	uint32_t n_allow;            /* entries, doubles not counted */
	uint32_t n_deny;
	struct image_external external;
	struct image_environment environment;
};

/*
 * Checks what reading an image relies on: magic, version, size, the terminating NUL, the header and every table but the
 * buckets and hosts, which image_host_at() holds to the image's bounds. The time does not depend on how many hosts
 * there are. Returns 0 and *ret = bytes, or -EINVAL. Whoever maps an image calls it once, before any accessor.
 */
int image_check(const void *bytes, size_t len, const struct image **ret, struct error *err);

/* The order of networks and direct. */
int image_network_compare(const struct image_network *a, const struct image_network *b);

/* Of a host: orders hosts and is the number of its bucket when scaled. */
uint32_t image_hash(enum image_rule_kind kind, const void *key, size_t len);

/* The number of a host's bucket, where the table has count > 1 groups. */
static inline uint32_t image_bucket(uint32_t hash, uint32_t count)
{
	return (uint32_t) ((uint64_t) hash * ((uint64_t) (count - 1) * IMAGE_GROUP) >> 32);
}

/* Its bit in the bucket's tags. */
static inline uint8_t image_tag(uint32_t hash)
{
	return (uint8_t) (1u << hash % 8);
}

/*
 * Tells versions of a policy apart: of two images with the same fingerprint the bytes are equal. Stored, so that asking
 * costs nothing. Not a cryptographic digest: both are root's.
 */
static inline uint64_t image_fingerprint(const struct image *image)
{
	return image->fingerprint;
}

/* What the fingerprint of these bytes has to be: reads all of them. */
uint64_t image_digest(const struct image *image);

/* Of a rule, before it is read. It may lack its NUL: then one follows further on, the image's last byte at the latest.
 */
static inline bool image_text_inside(const struct image *image, struct image_text text)
{
	return text.offset < image->size && text.len < image->size - text.offset;
}

/* NUL-terminated, inside the image. */
static inline const char *image_string(const struct image *image, struct image_text text)
{
	return (const char *) image + text.offset;
}

static inline const void *image_records(const struct image *image, struct image_table table)
{
	return (const char *) image + table.offset;
}

/* How many bytes a host has in front of its rules. */
static inline uint32_t image_host_head(uint32_t kind, uint32_t key_len)
{
	uint32_t prefix = kind == IMAGE_RULE_WILDCARD ? 2 : 0;
	return ((uint32_t) offsetof(struct image_host, bytes) + prefix + key_len + 1 + 3) & ~3u;
}

static inline const char *image_host_key(const struct image_host *host)
{
	return host->bytes + (host->kind == IMAGE_RULE_WILDCARD ? 2 : 0);
}

static inline const struct image_rule *image_host_rules(const struct image_host *host)
{
	const void *rules = (const char *) host + image_host_head(host->kind, host->key_len);
	return rules;
}

/* Where a host with this hash would be, from *ret to *ret_end. False: there is none, or not inside the image. */
static inline bool image_hosts(const struct image *image, uint32_t hash, uint32_t *ret, uint32_t *ret_end)
{
	if (image->groups.count < 2)
		return false;
	const struct image_group *groups = image_records(image, image->groups);
	uint32_t bucket = image_bucket(hash, image->groups.count), i = bucket % IMAGE_GROUP;
	const struct image_group *group = &groups[bucket / IMAGE_GROUP];
	if (!(group->tags[i] & image_tag(hash)))
		return false;
	uint64_t unit = image->unit, at = group->start + group->at[i] * unit;
	uint64_t end = i + 1 < IMAGE_GROUP ? group->start + group->at[i + 1] * unit : group[1].start;
	if (at < sizeof(*image) || at % 4 != 0 || end > image->size || at >= end)
		return false;
	*ret = (uint32_t) at;
	*ret_end = (uint32_t) end;
	return true;
}

/* The host at *at, all of it before end, *at moved behind it; NULL where there is none, or it is not whole. */
static inline const struct image_host *image_host_at(const struct image *image, uint32_t *at, uint32_t end)
{
	uint32_t left = end - *at;
	if (left < sizeof(struct image_host))
		return NULL;
	const void *here = (const char *) image + *at;
	const struct image_host *host = here;
	uint64_t size =
		image_host_head(host->kind, host->key_len) + (uint64_t) host->n_rules * sizeof(struct image_rule);
	if (size > left)
		return NULL;
	*at += (uint32_t) size;
	return host;
}
