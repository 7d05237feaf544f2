/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled policy: one read-only, position-independent block of bytes, made by the hook (oci/policy.h) and read by
 * keeper and worker as it lies, from a sealed memfd. Native byte order and alignment: it never leaves the machine.
 * Equal policies under equal names have equal bytes.
 *
 *     struct image | records (image_rule, image_network, uint16_t, image_text) | bytes of text
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_MAGIC 0x4547524fu /* "ORGE" */
#define IMAGE_VERSION 2u
#define IMAGE_SIZE_MAX (512u << 20)

#define IMAGE_CONNECTIONS_MAX 100000
#define IMAGE_STARTUP_MS_MIN 100
#define IMAGE_STARTUP_MS_MAX 600000
#define IMAGE_STARTUP_MS 10000 /* where the policy does not say */
#define IMAGE_STOP_MS 2000
#define IMAGE_STOP_MS_MAX 60000
#define IMAGE_ARGV_MAX 1024

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

/*
 * One entry of allow or deny. A table is sorted by (kind, key's length, key's bytes, port) and has no doubles.
 * The key is the canonical name (of a wildcard: what follows "*."), or the address's 4 or 16 bytes.
 */
struct image_rule {
	uint16_t kind;
	uint16_t port; /* 0: in allow the policy's ports, in deny every port */
	uint32_t line; /* of the policy file, from 1 */
	struct image_text key;
	struct image_text text; /* the entry as the administrator wrote it */
};

/* One entry of networks: addresses of the floor that a listed name may resolve to all the same. */
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
	uint32_t trailer_bytes;          /* of chunked content: one chunk's size line, and the trailer section */
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

struct image_external {
	struct image_table argv; /* of image_text; argv[0] is an absolute path */
	struct image_text user;  /* empty: oci-egress where there is one, else nobody */
	uint32_t port;           /* 0: any that is free */
	uint32_t stop_timeout_ms;
};

struct image {
	uint32_t magic;
	uint32_t version;
	uint32_t size;       /* of everything */
	uint32_t proxy;      /* enum image_proxy */
	uint32_t link;       /* enum image_link */
	uint32_t on_failure; /* enum image_on_failure */
	uint32_t sni;        /* enum image_sni */
	uint32_t on_reload;  /* enum image_on_reload */
	uint32_t startup_timeout_ms;
	struct image_limits limits;
	struct image_text name;   /* of the policy */
	struct image_text file;   /* that it was read from */
	struct image_table ports; /* of uint16_t, ascending */
	struct image_table allow; /* of image_rule */
	struct image_table deny;
	struct image_table networks; /* of image_network, sorted by (family, bytes, prefix) */
	struct image_external external;
};

/*
 * Checks everything that reading an image relies on: magic, version, size, every offset, alignment and terminating NUL.
 * Returns 0 and *ret = bytes, or -EINVAL. Whoever maps an image calls it once, before any accessor.
 */
int image_check(const void *bytes, size_t len, const struct image **ret, struct error *err);

/* The order of the tables. base is what the keys' offsets count from. */
int image_rule_compare(const void *base, const struct image_rule *a, const struct image_rule *b);
int image_network_compare(const struct image_network *a, const struct image_network *b);

/*
 * Tells versions of a policy apart. Not a cryptographic digest: both are root's.
 */
uint64_t image_fingerprint(const struct image *image);

/* NUL-terminated, inside the image. */
static inline const char *image_string(const struct image *image, struct image_text text)
{
	return (const char *) image + text.offset;
}

static inline const void *image_records(const struct image *image, struct image_table table)
{
	return (const char *) image + table.offset;
}
