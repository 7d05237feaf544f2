/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netns/netlink.h"

#define PROC_IPV4 "/proc/sys/net/ipv4"
#define PROC_IPV4_CONF PROC_IPV4 "/conf/"
#define PROC_IPV6_CONF "/proc/sys/net/ipv6/conf/"

struct setting {
	const char *name;
	const char *value;
};

/* A transit as a whole. Forwarding first: changing it resets others, accept_redirects among them. */
static const struct setting ipv4[] = {
	{ "ip_forward", "0" },
	{ "icmp_echo_ignore_all", "1" },
};

/*
 * Set on the interface, each. Also on `all`, where the kernel takes the one "or" the other, or the greater one
 * (rp_filter, arp_ignore, arp_announce); where it takes "and", or looks at the interface alone, the interface's is
 * enough. And on `default` those by which an interface that somebody adds would lead anywhere. No more than these: a
 * file under /proc/sys is 10 us, and all of them together would be a third of making a link.
 */
static const struct {
	const char *name;
	struct netlink_devconf conf;
	bool all, dflt;
} ipv4_conf[] = {
	{ "forwarding", { IPV4_DEVCONF_FORWARDING, 0 }, false, true }, /* on `all` it is ip_forward */
	{ "route_localnet", { IPV4_DEVCONF_ROUTE_LOCALNET, 0 }, true, true },
	{ "rp_filter", { IPV4_DEVCONF_RP_FILTER, 1 }, true, true }, /* strict: no other sources */
	{ "proxy_arp", { IPV4_DEVCONF_PROXY_ARP, 0 }, true, true },
	{ "accept_redirects", { IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 }, true, true },
	{ "send_redirects", { IPV4_DEVCONF_SEND_REDIRECTS, 0 }, true, false },
	{ "accept_local", { IPV4_DEVCONF_ACCEPT_LOCAL, 0 }, true, false },
	{ "src_valid_mark", { IPV4_DEVCONF_SRC_VMARK, 0 }, true, false },
	{ "arp_ignore", { IPV4_DEVCONF_ARP_IGNORE, 2 }, true, false }, /* its own address, to its own subnet */
	{ "arp_announce", { IPV4_DEVCONF_ARP_ANNOUNCE, 2 }, true, false },
	{ "arp_accept", { IPV4_DEVCONF_ARP_ACCEPT, 0 }, true, false },
	{ "log_martians", { IPV4_DEVCONF_LOG_MARTIANS, 0 }, true, false }, /* the kernel log is not theirs to fill */
	{ "secure_redirects", { IPV4_DEVCONF_SECURE_REDIRECTS, 1 }, false, false }, /* 1 accepts fewer */
	{ "accept_source_route", { IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0 }, false, false },
	{ "bc_forwarding", { IPV4_DEVCONF_BC_FORWARDING, 0 }, false, false },
	{ "bootp_relay", { IPV4_DEVCONF_BOOTP_RELAY, 0 }, false, false },
	{ "proxy_arp_pvlan", { IPV4_DEVCONF_PROXY_ARP_PVLAN, 0 }, false, false },
};

/* Of a transit as a whole. */
static const struct setting ipv6_all[] = {
	{ "disable_ipv6", "1" },
	{ "forwarding", "0" },
};

/* Of an interface, or of `default`, which one that is made later begins with. */
static const struct setting ipv6_conf[] = {
	{ "disable_ipv6", "1" }, { "forwarding", "0" }, { "accept_ra", "0" }, { "autoconf", "0" },
	{ "accept_redirects", "0" }, { "accept_source_route", "0" }, { "addr_gen_mode", "1" }, /* none */
};

/* 1: opened, 0: there is no such directory, or -errno. */
static int directory_open(const char *path, int *ret_fd, struct error *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	*ret_fd = fd;
	return 1;
}

static bool setting_holds(int fd, const struct setting *setting)
{
	char now[16];

	ssize_t n = pread(fd, now, sizeof(now), 0);
	size_t len = strlen(setting->value);
	return n == (ssize_t) len + 1 && memcmp(now, setting->value, len) == 0 && now[len] == '\n';
}

/* Where /proc/sys is read-only, as in many containers, it will do that the value is right already. */
static int setting_check(int dir, const char *path, const struct setting *setting, int errnum, struct error *err)
{
	_cleanup_close_ int fd = openat(dir, setting->name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && setting_holds(fd, setting))
		return 0;
	return error_set(err, errnum, "%s/%s", path, setting->name);
}

/*
 * Looks first: for several of the IPv6 ones a write that changes nothing still needs the lock that all network
 * configuration of the machine shares, and spins for it.
 */
static int setting_write(int dir, const char *path, const struct setting *setting, struct error *err)
{
	_cleanup_close_ int fd = openat(dir, setting->name, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return setting_check(dir, path, setting, errno, err);

	size_t len = strlen(setting->value);
	if (setting_holds(fd, setting) || pwrite(fd, setting->value, len, 0) == (ssize_t) len)
		return 0;
	return error_set(err, errno, "%s/%s", path, setting->name);
}

static int settings_write(int dir, const char *path, const struct setting *settings, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = setting_write(dir, path, &settings[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int settings_ipv4(struct error *err)
{
	_cleanup_close_ int dir = -1;
	int r = directory_open(PROC_IPV4, &dir, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ENOENT, PROC_IPV4);
	return settings_write(dir, PROC_IPV4, ipv4, ARRAY_SIZE(ipv4), err);
}

static int settings_ipv4_conf(const char *path, bool dflt, struct error *err)
{
	_cleanup_close_ int dir = -1;
	int r = directory_open(path, &dir, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ENOENT, "%s", path);

	for (size_t i = 0; i < ARRAY_SIZE(ipv4_conf); i++) {
		if (!(dflt ? ipv4_conf[i].dflt : ipv4_conf[i].all))
			continue;
		char value[12];
		(void) snprintf(value, sizeof(value), "%u", ipv4_conf[i].conf.value);
		r = setting_write(dir, path, &(struct setting){ ipv4_conf[i].name, value }, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1, or 0 where there is no such directory. */
static int settings_ipv6(const char *path, const struct setting *settings, size_t n, struct error *err)
{
	_cleanup_close_ int dir = -1;
	int r = directory_open(path, &dir, err);
	if (r <= 0)
		return r;
	r = settings_write(dir, path, settings, n, err);
	return r < 0 ? r : 1;
}

int settings_transit(struct error *err)
{
	int r = settings_ipv4(err);
	if (r == 0)
		r = settings_ipv4_conf(PROC_IPV4_CONF "all", false, err);
	if (r == 0)
		r = settings_ipv4_conf(PROC_IPV4_CONF "default", true, err);
	if (r == 0)
		r = settings_ipv6(PROC_IPV6_CONF "all", ipv6_all, ARRAY_SIZE(ipv6_all), err);
	if (r == 1)
		r = settings_ipv6(PROC_IPV6_CONF "default", ipv6_conf, ARRAY_SIZE(ipv6_conf), err);
	return r < 0 ? r : 0;
}

static int settings_interface_ipv4(struct netlink *netlink, int index, struct error *err)
{
	struct netlink_devconf conf[ARRAY_SIZE(ipv4_conf)];

	for (size_t i = 0; i < ARRAY_SIZE(ipv4_conf); i++)
		conf[i] = ipv4_conf[i].conf;
	return netlink_set_devconf(netlink, index, conf, ARRAY_SIZE(conf), err);
}

int settings_interface(struct netlink *netlink, int index, const char *name, struct error *err)
{
	char path[sizeof(PROC_IPV6_CONF) + IFNAMSIZ];
	(void) snprintf(path, sizeof(path), PROC_IPV6_CONF "%s", name);

	int r = settings_interface_ipv4(netlink, index, err);
	if (r < 0)
		return r;
	r = settings_ipv6(path, ipv6_conf, ARRAY_SIZE(ipv6_conf), err);
	/* No IPv6 here, or the interface has lost its name to somebody. */
	if (r == 0 && access(PROC_IPV6_CONF "all", F_OK) == 0)
		return error_say(err, ENODEV, "%s: gone", path);
	return r < 0 ? r : 0;
}
