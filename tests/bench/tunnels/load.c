/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator and the origin of the tunnels benchmark; tunnels.py runs it.
 *
 *     load origin ADDRESS:PORT
 *     load MODE --door direct|connect|socks5 --proxy ADDRESS:PORT --origin ADDRESS:PORT [--kind K] [-n N] [--seconds S]
 */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "door.h"

char block[BLOCK_BYTES];

static const struct mode {
	const char *name;
	int (*main)(const struct options *options);
} modes[] = {
	{ "bulk", bulk_main },           /* bytes one way */
	{ "tunnels", tunnels_main },     /* connect, ask, one byte there and back, close */
	{ "exchanges", exchanges_main }, /* 64 bytes there and back, on open tunnels */
	{ "idle", idle_main },           /* open tunnels in which nothing moves, and a new one beside them */
	{ "requests", requests_main },   /* plain HTTP */
	{ "others", others_main },       /* a client like any, paced: what it sees of somebody else's trouble */
	{ "trouble", trouble_main },
};

void die(const char *what)
{
	perror(what);
	exit(2);
}

uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

void window_start(struct window *window, const struct options *options)
{
	window->begins_ns = now_ns() + (uint64_t) (options->warm_up * 1e9);
	window->ends_ns = window->begins_ns + (uint64_t) (options->seconds * 1e9);
	window->open = false;
}

bool window_goes_on(struct window *window, uint64_t now)
{
	if (!window->open && now >= window->begins_ns) {
		window->open = true;
		window->ends_ns += now - window->begins_ns;
		window->begins_ns = now;
		say("begin");
	}
	if (!window->open || now < window->ends_ns)
		return true;
	window->ends_ns = now;
	say("end");
	return false;
}

double window_seconds(const struct window *window)
{
	return (double) (window->ends_ns - window->begins_ns) / 1e9;
}

void samples_add(struct samples *samples, uint64_t ns)
{
	if (samples->n == samples->size) {
		samples->size = samples->size ? samples->size * 2 : 1 << 16;
		samples->ns = realloc(samples->ns, samples->size * sizeof(*samples->ns));
		if (!samples->ns)
			die("realloc");
	}
	samples->ns[samples->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t) ns;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
	return (x > y) - (x < y);
}

static double quantile_us(const struct samples *samples, double q)
{
	size_t i = (size_t) (q * (double) samples->n);
	return samples->n ? samples->ns[i < samples->n ? i : samples->n - 1] / 1e3 : 0;
}

void samples_print(struct samples *samples, const char *name)
{
	if (samples->n)
		qsort(samples->ns, samples->n, sizeof(*samples->ns), compare);
	printf(",\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f,\"%s_max_us\":%.1f", name, quantile_us(samples, 0.5), name,
		quantile_us(samples, 0.99), name, quantile_us(samples, 1));
}

static struct sockaddr_in parse_address(const char *text)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	struct sockaddr_in address = { .sin_family = AF_INET };
	if (!colon || (size_t) (colon - text) >= sizeof(host)) {
		fprintf(stderr, "expected ADDRESS:PORT: %s\n", text);
		exit(2);
	}
	memcpy(host, text, (size_t) (colon - text));
	host[colon - text] = '\0';
	address.sin_port = htons((uint16_t) atoi(colon + 1));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		die(host);
	return address;
}

static enum door_kind parse_door(const char *text)
{
	return strcmp(text, "connect") == 0 ? DOOR_CONNECT : strcmp(text, "socks5") == 0 ? DOOR_SOCKS5 : DOOR_DIRECT;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "door", required_argument, NULL, 'd' },
		{ "proxy", required_argument, NULL, 'x' },
		{ "origin", required_argument, NULL, 'o' },
		{ "kind", required_argument, NULL, 'k' },
		{ "seconds", required_argument, NULL, 's' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ "rate", required_argument, NULL, 'r' },
		{ "services", required_argument, NULL, 'v' },
		{ 0 },
	};
	for (int c; (c = getopt_long(argc, argv, "n:", longs, NULL)) != -1;) {
		switch (c) {
		case 'd':
			door_kind = parse_door(optarg);
			break;
		case 'x':
			door_proxy = parse_address(optarg);
			break;
		case 'o':
			door_origin = parse_address(optarg);
			break;
		case 'k':
			options->kind = optarg;
			break;
		case 's':
			options->seconds = atof(optarg);
			break;
		case 'w':
			options->warm_up = atof(optarg);
			break;
		case 'r':
			options->rate = atof(optarg);
			break;
		case 'v':
			options->services = (unsigned) atoi(optarg);
			break;
		case 'n':
			options->n = (unsigned) atoi(optarg);
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char) (i * 131 + (i >> 8));
	if (argc == 3 && strcmp(argv[1], "origin") == 0)
		return origin_main(parse_address(argv[2]));

	struct options options = { .kind = "", .n = 1, .seconds = 1.5, .warm_up = 0.4, .rate = 1000 };
	options.mode = argc > 1 ? argv[1] : "";
	if (argc > 1)
		parse(argc - 1, argv + 1, &options);
	door_epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(options.mode, modes[i].name) == 0)
			return modes[i].main(&options);
	fprintf(stderr, "no such mode: %s\n", options.mode);
	return 2;
}
