/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name inside a tunnel. Until it is known what a tunnel begins with, its client's bytes stay in the socket, where
 * they are looked at with each piece that comes; what the origin sends flows all the while. Nothing is kept but the
 * little that is in struct sni, and nothing is left of it once it has been decided.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct host;

enum sni_result {
	SNI_WAITS,   /* for the first byte, or with sni->begun for the rest of what may be a ClientHello */
	SNI_PASSES,  /* no TLS, or a hello that names the host that was asked for */
	SNI_REFUSED, /* another name, none, or a hello that one cannot read */
	SNI_FAILED,  /* the client's socket is dead */
};

/* All zero to begin with. */
struct sni {
	bool begun;        /* there are bytes */
	uint16_t low_mark; /* SO_RCVLOWAT that was set; 0: none */
};

/*
 * Looks at what there is. ended: the client has sent its last byte. A name that was asked for must be in the hello;
 * where an address was, the hello must name none, or the address.
 */
enum sni_result sni_check(struct sni *sni, int fd, const struct host *host, bool ended);

/* Tells a TLS client what is wrong: the alert unrecognized_name (RFC 6066 section 3), where it has read nothing yet. */
void sni_send_alert(int fd);
