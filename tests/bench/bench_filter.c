/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a policy and asks it, as a hook and then a worker do. Standard input: lines of "GROUP HOST PORT REASON",
 * REASON what has to come out; groups in a row. Prints "NAME VALUE" lines; a wrong decision is exit status 1.
 *
 *     bench_filter POLICY DIRECTORY        the image lies in DIRECTORY for as long as this runs
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "oci/imagefile.h"
#include "oci/policy.h"
#include "proxy/filter.h"

#define BATCH 1000
#define ROUNDS 10
#define IMAGE_NAME "bench-filter.image"

struct question {
	uint16_t port;
	struct host host;
	char reason[24];
};

struct questions {
	struct question *v;
	size_t n, size;
	char group[24];
};

__attribute__((noreturn)) static void die(const char *what, const char *about)
{
	(void) fprintf(stderr, "bench_filter: %s: %s\n", what, about);
	exit(2);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;
	(void) clock_gettime(clock, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static double now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

/* Of this program: getrusage(2) counts what its parent had before the exec. */
static unsigned long peak_kib(void)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	_cleanup_close_ int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_read_all(fd, 65536, &text, &len, NULL) < 0)
		die("open", "/proc/self/status");
	const char *at = strstr(text, "VmHWM:");
	return at ? strtoul(at + strlen("VmHWM:"), NULL, 10) : 0;
}

static struct image *load(const char *file)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	struct image *image;
	struct error err;
	double start = now(), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	if (policy_read_file(file, &text, &len, &err) < 0 ||
		policy_compile(file, "bench", text, len, IMAGE_ON_FAILURE_CLOSED, &image, &err) < 0)
		die("load", err.msg);
	printf("load_ms %.0f\n", (now() - start) * 1e3);
	printf("load_cpu_ms %.0f\n", (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3);
	printf("peak_kib %lu\n", peak_kib());
	printf("text_bytes %zu\n", len);
	printf("entries %u\n", image->n_allow + image->n_deny);
	printf("image_bytes %u\n", image->size);
	printf("rules_bytes %u\n", image->ports.offset - image->groups.offset);
	return image;
}

/* As a worker gets it. */
static const struct image *map(const struct image *image, const char *directory)
{
	_cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error err;
	if (dir < 0 || imagefile_write(dir, IMAGE_NAME, image, &err) < 0)
		die("write", directory);
	const struct image *mapped;
	size_t len;
	_cleanup_close_ int fd = -1;
	double start = now();
	if (imagefile_open(dir, IMAGE_NAME, IMAGE_NAME, &fd, &err) < 0 || imagefile_map(fd, &mapped, &len, &err) < 0)
		die("map", err.msg);
	printf("map_us %.0f\n", (now() - start) * 1e6);
	(void) unlinkat(dir, IMAGE_NAME, 0);
	if (image_digest(mapped) != image_fingerprint(image))
		die("map", "other bytes than were written");
	return mapped;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;
	return (x > y) - (x < y);
}

static int check(const struct image *image, const struct questions *questions)
{
	int wrong = 0;
	for (size_t i = 0; i < questions->n; i++) {
		const struct question *q = &questions->v[i];
		const char *reason = reason_code(filter_decide(image, &q->host, q->port).reason);
		if (strcmp(reason, q->reason) != 0 && wrong++ < 10)
			(void) fprintf(stderr, "%s:%u: %s, not %s\n", q->host.name, q->port, reason, q->reason);
	}
	return wrong;
}

/* Whoever asks has just parsed the host. */
static size_t touch(const struct question *q)
{
	size_t sum = 0;
	for (size_t i = 0; i < BATCH; i++)
		for (size_t at = 0; at < offsetof(struct question, host.name) + q[i].host.len; at += 64)
			sum += ((const unsigned char *) &q[i])[at];
	return sum;
}

/* Where the next question lies depends on the last answer: the processor cannot work on two at a time. */
static double ask_batch(const struct image *image, const struct question *q)
{
	q += touch(q) >> 31;
	double start = now();
	for (size_t i = 0; i < BATCH; i++)
		q += 1 + ((size_t) filter_decide(image, &q->host, q->port).reason >> 31);
	return (now() - start) * 1e9 / BATCH;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_double);
	return v[n / 2];
}

/* Batches are of questions that no cache knows the answers of; a round's figure is the median of its batches. */
static int run(const struct image *image, const struct questions *questions)
{
	size_t n = questions->n / BATCH;
	_cleanup_free_ double *ns = calloc(n ? n : 1, sizeof(*ns));
	int wrong = check(image, questions); /* and the pages are there */
	if (n == 0 || !ns)
		die("too few questions", questions->group);
	double rounds[ROUNDS];
	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < n; i++)
			ns[i] = ask_batch(image, &questions->v[i * BATCH]);
		rounds[round] = median(ns, n);
	}
	double middle = median(rounds, ROUNDS);
	printf("ask %s %zu %.0f %.0f %.0f\n", questions->group, questions->n, middle, rounds[0], rounds[ROUNDS - 1]);
	return wrong;
}

struct line {
	struct line *next;
	char rest[56];
};

/* For comparison: what one access to memory costs, that the one before it leads to, over as many bytes. */
static void print_access(size_t size)
{
	size_t n = size / sizeof(struct line);
	_cleanup_free_ struct line *lines = calloc(n, sizeof(*lines));
	_cleanup_free_ uint32_t *order = calloc(n, sizeof(*order));
	if (!lines || !order)
		die("memory", "lines");
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	uint64_t seed = 1;
	for (size_t i = n - 1; i > 0; i--) { /* one cycle through all, Sattolo */
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		size_t k = (size_t) (seed >> 33) % i;
		uint32_t other = order[i];
		order[i] = order[k];
		order[k] = other;
	}
	for (size_t i = 0; i < n; i++)
		lines[i].next = &lines[order[i]];
	double rounds[ROUNDS];
	const struct line *line = lines;
	for (size_t round = 0; round < ROUNDS; round++) {
		double start = now();
		for (size_t i = 0; i < 200 * (size_t) BATCH; i++)
			line = line->next;
		rounds[round] = (now() - start) * 1e9 / (200 * BATCH) + line->rest[0];
	}
	double middle = median(rounds, ROUNDS);
	printf("ask memory %zu %.0f %.0f %.0f\n", n, middle, rounds[0], rounds[ROUNDS - 1]);
}

static void add(struct questions *questions, const char *text, unsigned port, const char *reason)
{
	if (questions->n == questions->size) {
		questions->size = questions->size ? questions->size * 2 : 4096;
		questions->v = reallocarray(questions->v, questions->size, sizeof(*questions->v));
		if (!questions->v)
			die("memory", text);
	}
	struct question *q = &questions->v[questions->n++];
	if (host_parse(text, strlen(text), &q->host))
		die("not a host", text);
	q->port = (uint16_t) port;
	(void) snprintf(q->reason, sizeof(q->reason), "%s", reason);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage", "bench_filter POLICY DIRECTORY <QUESTIONS");
	_cleanup_free_ struct image *compiled = load(argv[1]);
	const struct image *image = map(compiled, argv[2]);

	struct questions questions = { 0 };
	char group[24], host[256], reason[24];
	unsigned port;
	int wrong = 0;
	while (scanf("%23s %255s %u %23s", group, host, &port, reason) == 4) {
		if (strcmp(group, questions.group) != 0 && questions.n > 0) {
			wrong += run(image, &questions);
			questions.n = 0;
		}
		(void) snprintf(questions.group, sizeof(questions.group), "%s", group);
		add(&questions, host, port, reason);
	}
	wrong += run(image, &questions);
	print_access(image->ports.offset - image->groups.offset);
	free(questions.v);
	return wrong ? 1 : 0;
}
