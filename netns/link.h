/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link: how the container reaches the proxy.
 *
 * veth: a fresh transit namespace holds the host-side end (index 16384) and the listener, and nothing else; the peer,
 * oe0, is born in the container's namespace. No process is in the transit: the listener's descriptor, and the sockets
 * accepted from it, are all that keeps it and so the veth alive. socket: no interface; the listener is opened in the
 * container's namespace on 127.0.0.1.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LINK_NAME "oe0"         /* the container's end of a veth link */
#define LINK_TRANSIT_NAME "oe1" /* the transit's end */
#define LINK_TRANSIT_INDEX 16384

enum link_kind {
	LINK_AUTO, /* veth where one can be made, else socket */
	LINK_VETH,
	LINK_SOCKET,
};

struct foreign;

struct link_config {
	enum link_kind kind;
	struct in_addr proxy;     /* of a veth link: the transit's address, 198.18.0.2 */
	struct in_addr container; /* 198.18.0.3 */
	uint8_t prefix;           /* 8 to 31: both addresses lie in it */
	uint16_t port;            /* of the proxy, host byte order: 3128 */
};

struct link {
	enum link_kind kind;  /* LINK_VETH or LINK_SOCKET: what was made */
	int listener;         /* listening, non-blocking, SO_LINGER {1, 0}; -1 when undone */
	struct in_addr proxy; /* what the container connects to */
	uint16_t port;
	struct in_addr container; /* where its connections come from */
	bool raised_lo;           /* lo was down and was brought up */
};

/*
 * May the container's namespace have a link? To be asked before anything is started for it, and before link_make(). An
 * error is the container's side's or a sibling's, and so closed: the namespace is the host's own (-EXDEV); it has an
 * interface other than lo and oe0, idle fallback devices excepted (-EBUSY; or *ret, unless NULL, names them, for the
 * gate: netns/gate.h); oe0 is there and stays for a second (-EEXIST). The caller holds the namespace's lock.
 */
int link_check(int netns, struct foreign *ret, struct error *err);

/* The same for a namespace whose link is there already: nothing else may have come since it was made. */
int link_check_shared(int netns, struct foreign *ret, struct error *err);

/*
 * Makes the link in the container's namespace, which link_check() has passed. Both ends are operationally up when it
 * returns. The caller holds the namespace's lock. Returns 0 and *ret (link_undo() or, when the listener has been handed
 * on, link_release()), or -errno with everything as it was.
 *
 * err->closed where the container's side or a sibling in its namespace may be the cause: the name oe0 is taken
 * (-EEXIST); 127.0.0.1's port is taken (-EADDRINUSE).
 */
int link_make(int netns, const struct link_config *config, struct link *ret, struct error *err);

/*
 * Takes the link away again and sees it gone: RTM_DELLINK, lo as it was, the listener closed. Does what can be done;
 * after link_release() the link is the new holder's, and nothing is.
 */
void link_undo(int netns, struct link *link);

/* Gives up the listener, closing it here: somebody else holds it now. */
void link_release(struct link *link);

/*
 * A socket inside the container's namespace, bound to link->container and a port of its own and not yet connected: for
 * the proof that the path works. An error is the container's side's: err->closed. *ret_fd (blocking, O_CLOEXEC) is the
 * caller's; *ret_port is its source port in host byte order.
 */
int link_probe_socket(int netns, const struct link *link, int *ret_fd, uint16_t *ret_port, struct error *err);
