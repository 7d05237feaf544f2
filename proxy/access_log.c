/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/access_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "proxy/channel.h"
#include "proxy/refusal.h"

#define LINE_MAX_BYTES 4096
#define QUEUE_MAX_BYTES (64u << 10)

/* A line that waits for the next log. */
struct line {
	STAILQ_ENTRY(line) entry;
	size_t len;
	char bytes[];
};

struct access_log {
	int fd;
	int channel;
	bool owns_fd;
	bool full; /* CHANNEL_LOG_FULL was sent, and no log has come since */
	bool torn; /* the last write(2) left half a line behind */
	uint64_t size, max;
	const char *container;
	size_t container_len;
	const struct image *image;
	struct scoreboard_counters *counters;
	size_t queued; /* bytes */
	STAILQ_HEAD(lines, line) queue;
};

/* Only outside of the sandbox, which has no lseek(2). 0: not a file that grows. */
static uint64_t file_size(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	return end > 0 ? (uint64_t) end : 0;
}

int access_log_new(int fd, const char *container, size_t container_len, const struct image *image, uint32_t max,
	int channel, struct scoreboard_counters *counters, struct access_log **ret, struct error *err)
{
	struct access_log *log = calloc(1, sizeof(*log));
	if (!log)
		return error_set(err, ENOMEM, "access log");
	*log = (struct access_log){
		.fd = fd,
		.channel = channel,
		.size = file_size(fd),
		.max = max,
		.container = container,
		.container_len = container_len,
		.image = image,
		.counters = counters,
	};
	STAILQ_INIT(&log->queue);
	tzset(); /* else the first gmtime_r(3) opens /etc/localtime, where no path can be opened any more */
	*ret = log;
	return 0;
}

static void lose_line(struct access_log *log)
{
	atomic_fetch_add_explicit(&log->counters->lines_lost, 1, memory_order_relaxed);
}

static struct line *take_line(struct access_log *log)
{
	struct line *line = STAILQ_FIRST(&log->queue);
	if (!line)
		return NULL;
	STAILQ_REMOVE_HEAD(&log->queue, entry);
	log->queued -= line->len;
	return line;
}

void access_log_free(struct access_log *log)
{
	if (!log)
		return;
	for (struct line *line; (line = take_line(log));) {
		lose_line(log);
		free(line);
	}
	if (log->owns_fd)
		close(log->fd);
	free(log);
}

/* False: the file is full, by others' lines too. A part of the line may be in it. */
static bool put(struct access_log *log, const char *bytes, size_t len)
{
	if (log->torn && write(log->fd, "\n", 1) == 1) {
		log->torn = false;
		log->size++;
	}
	ssize_t n;
	do
		n = write(log->fd, bytes, len);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		log->size += (uint64_t) n;
	if (n < 0 && errno == EFBIG && log->channel >= 0)
		return false;
	if (n != (ssize_t) len)
		lose_line(log);
	if (n > 0 && n < (ssize_t) len)
		log->torn = true;
	return true;
}

static void enqueue(struct access_log *log, const char *bytes, size_t len)
{
	struct line *line = log->queued + len <= QUEUE_MAX_BYTES ? malloc(sizeof(*line) + len) : NULL;
	if (!line) {
		lose_line(log);
		return;
	}
	line->len = len;
	memcpy(line->bytes, bytes, len);
	log->queued += len;
	STAILQ_INSERT_TAIL(&log->queue, line, entry);
}

static void say_full(struct access_log *log)
{
	const struct channel_message message = { .type = CHANNEL_LOG_FULL };
	log->full = channel_send(log->channel, &message);
}

static bool has_room(const struct access_log *log, size_t len)
{
	/* a log smaller than one line still takes that line: it would wait for ever */
	return log->max == 0 || log->channel < 0 || log->size == 0 || log->size + len <= log->max;
}

static void write_line(struct access_log *log, const char *bytes, size_t len)
{
	if (!log->full && has_room(log, len) && put(log, bytes, len))
		return;
	if (!log->full)
		say_full(log);
	enqueue(log, bytes, len);
}

void access_log_exchange(struct access_log *log, int fd, uint64_t size)
{
	if (log->owns_fd)
		close(log->fd);
	log->fd = fd;
	log->owns_fd = true;
	log->full = log->torn = false;
	log->size = size;
	while (!log->full) {
		const struct line *next = STAILQ_FIRST(&log->queue);
		if (!next)
			return;
		if (!has_room(log, next->len)) {
			say_full(log);
			return;
		}
		if (!put(log, next->bytes, next->len)) {
			say_full(log);
			return;
		}
		free(take_line(log));
	}
}

static void add_time(struct text *text)
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	text_add(text, "\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

static void add_string(struct text *text, const char *name, const char *bytes, size_t len)
{
	text_add(text, ",\"%s\":", name);
	if (bytes)
		text_add_json(text, bytes, len);
	else
		text_add(text, "null");
}

static void add_start(struct text *text, const struct access_log *log)
{
	text_add(text, "{");
	add_time(text);
	add_string(text, "container", log->container, log->container_len);
	add_string(text, "policy", image_string(log->image, log->image->name), log->image->name.len);
}

static void add_code(struct text *text, const char *name, const char *code)
{
	add_string(text, name, code, strlen(code));
}

const char *access_verdict(enum reason reason, bool passed)
{
	if (reason == REASON_SNI_TIMEOUT)
		return "failed";
	if (passed && reason != REASON_SNI_MISMATCH)
		return "allowed";
	switch (reason) {
	case REASON_SNI_MISMATCH:
	case REASON_NOT_LISTED:
	case REASON_DENIED:
	case REASON_PORT_NOT_LISTED:
	case REASON_ADDRESS_FORBIDDEN:
		return "denied";
	case REASON_BAD_REQUEST:
	case REASON_METHOD_NOT_ALLOWED:
	case REASON_ADDRESS_TYPE:
	case REASON_HEAD_TOO_LARGE:
	case REASON_EXPECTATION:
	case REASON_LOOP:
		return "bad-request";
	default:
		return "failed";
	}
}

void access_log_follow(struct access_log *log, const struct image *image, uint32_t max)
{
	log->image = image;
	log->max = max;
}

struct access_kept *access_log_keep_rule(const struct access_log *log, const struct image_rule *rule)
{
	struct access_kept *kept = malloc(sizeof(*kept) + rule->text.len);
	if (!kept)
		return NULL;
	kept->line = rule->line;
	kept->len = rule->text.len;
	memcpy(kept->text, image_string(log->image, rule->text), rule->text.len);
	return kept;
}

static void add_rule(struct text *text, const struct access_log *log, const struct access_entry *entry)
{
	const struct image_rule *rule = entry->rule;
	if (entry->kept) {
		add_string(text, "rule", entry->kept->text, entry->kept->len);
		text_add(text, ",\"rule_line\":%u", entry->kept->line);
		return;
	}
	if (!rule) {
		text_add(text, ",\"rule\":null");
		return;
	}
	add_string(text, "rule", image_string(log->image, rule->text), rule->text.len);
	text_add(text, ",\"rule_line\":%u", rule->line);
}

/* What the policy would have to say, where that is what is in the way. */
static void add_fix(struct text *text, const struct access_log *log, const struct access_entry *entry)
{
	const struct refusal refusal = {
		.reason = entry->reason,
		.host = entry->host,
		.port = entry->port,
		.image = log->image,
		.forbidden = entry->forbidden,
	};
	char buf[REFUSAL_TEXT_MAX];
	struct text fix = text_init(buf, sizeof(buf));
	if (refusal_add_fix(&fix, &refusal))
		text_add(text, ",\"fix\":%s", buf);
}

void access_log_write(struct access_log *log, const struct access_entry *entry)
{
	char buf[LINE_MAX_BYTES], address[ADDRESS_TEXT_MAX] = "";
	struct text text = text_init(buf, sizeof(buf));

	if (entry->dialled)
		address_format(entry->dialled, address);
	add_start(&text, log);
	add_string(&text, "via", entry->via, entry->via ? strlen(entry->via) : 0);
	add_string(&text, "host", entry->host ? entry->host->name : NULL, entry->host ? entry->host->len : 0);
	if (entry->host)
		text_add(&text, ",\"port\":%u", entry->port);
	else
		text_add(&text, ",\"port\":null");
	add_string(&text, "address", entry->dialled ? address : NULL, strlen(address));
	add_code(&text, "verdict", access_verdict(entry->reason, entry->passed));
	add_rule(&text, log, entry);
	add_code(&text, "reason", reason_code(entry->reason));
	add_fix(&text, log, entry);
	text_add(&text, ",\"bytes_up\":%llu,\"bytes_down\":%llu,\"duration_ms\":%lld}\n",
		(unsigned long long) entry->bytes_up, (unsigned long long) entry->bytes_down,
		(long long) entry->duration_ms);
	if (text.cut)
		lose_line(log);
	else
		write_line(log, text.buf, text.len);
}

void access_log_write_pause(struct access_log *log, enum reason reason)
{
	char buf[LINE_MAX_BYTES];
	struct text text = text_init(buf, sizeof(buf));
	add_start(&text, log);
	add_code(&text, "event", "accept-paused");
	add_code(&text, "reason", reason_code(reason));
	text_add(&text, "}\n");
	if (!text.cut)
		write_line(log, text.buf, text.len);
}

void access_log_write_policy(struct access_log *log, uint64_t version, uint32_t ended, const char *error)
{
	char buf[LINE_MAX_BYTES];
	struct text text = text_init(buf, sizeof(buf));
	add_start(&text, log);
	add_code(&text, "event", error ? "reload-failed" : "reloaded");
	if (error)
		add_string(&text, "error", error, strlen(error));
	text_add(&text, ",\"version\":\"%016llx\"", (unsigned long long) version);
	if (!error)
		text_add(&text, ",\"ended\":%u", ended);
	text_add(&text, "}\n");
	if (!text.cut)
		write_line(log, text.buf, text.len);
}
