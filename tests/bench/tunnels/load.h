/* SPDX-License-Identifier: Apache-2.0 */
/* What the load generator's modes share: its options, time, the window in which it measures, and samples. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENTS_MAX 512
#define BLOCK_BYTES (256 << 10)

/* What the origin serves, each on a port of its own, from its first port on. */
enum service {
	SERVICE_ECHO,
	SERVICE_SOURCE,  /* sends without end after the first byte received */
	SERVICE_SINK,    /* takes without end */
	SERVICE_HTTP,    /* answers each GET with HTTP_BODY_BYTES, keep-alive */
	SERVICE_COUNTER, /* the bytes that the sink has taken, in decimal; then closes */
	SERVICES
};

#define HTTP_BODY_BYTES 1024

struct options {
	const char *mode;
	const char *kind;  /* down or up; of trouble: see trouble.c */
	unsigned n;        /* connections at a time */
	double seconds;    /* measured */
	double warm_up;    /* seconds before that */
	double rate;       /* per second, of what is paced */
	unsigned services; /* added to each service's port: another origin's */
};

extern char block[BLOCK_BYTES];

uint64_t now_ns(void);
_Noreturn void die(const char *what);

/* Warm-up, then what is measured. Says "begin" and "end" on stdout, whereupon others look at the clocks of theirs. */
struct window {
	uint64_t begins_ns, ends_ns;
	bool open;
};

void window_start(struct window *window, const struct options *options);
/* To be called often. False: the window is over. */
bool window_goes_on(struct window *window, uint64_t now);
double window_seconds(const struct window *window);

/* Durations. */
struct samples {
	uint32_t *ns;
	size_t n, size;
};

void samples_add(struct samples *samples, uint64_t ns);
/* ',"NAME_p50_us":...,"NAME_p99_us":...,"NAME_max_us":...' */
void samples_print(struct samples *samples, const char *name);

/* The modes: each prints one line of JSON and returns the exit status. */
int origin_main(struct sockaddr_in at);
int bulk_main(const struct options *options);
int tunnels_main(const struct options *options);
int exchanges_main(const struct options *options);
int idle_main(const struct options *options);
int requests_main(const struct options *options);
int others_main(const struct options *options);
int trouble_main(const struct options *options);
