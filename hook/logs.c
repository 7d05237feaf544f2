/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress log`: what containers have reached, and what they have not; one's log, or all in the order of time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/command.h"
#include "hook/log_choice.h"
#include "hook/log_line.h"
#include "hook/log_reader.h"
#include "hook/rundir.h"

/* A line begins with {"time":"2026-01-31T23:59:59.999Z", which sorts as it reads. */
#define TIME_OFFSET 9
#define TIME_SIZE 24

static struct command_places places;
static bool follow, denied_only, as_json;

static const struct option_row options[] = {
	{ "follow", NULL, "go on with what is written, until interrupted", NULL, &follow },
	{ "denied", NULL, "only what the policy has refused", NULL, &denied_only },
	{ "json", NULL, "the lines as they are, JSON, with the container's names", NULL, &as_json },
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &places.run, NULL },
	{ "log", "DIR", "the containers' logs (/var/log/oci-egress)", &places.log, NULL },
	{ 0 },
};

/* A log that is shown, and its next line. */
struct feed {
	struct log_reader *reader;
	struct naming names;
	bool woken; /* there may be something to read */
	const char *line;
	size_t len;
};

struct logs {
	int dir;
	int watch; /* inotify(7); -1: nobody follows */
	bool all;  /* logs that are made later are shown too */
	struct feed *feeds;
	size_t n;
	struct feed **heap; /* those with a line, the oldest first */
	size_t heap_n;
};

static int add_feed(struct logs *logs, const char *id, const struct naming *names, struct error *err)
{
	struct feed *feeds = reallocarray(logs->feeds, logs->n + 1, sizeof(*feeds));
	if (!feeds)
		return error_set(err, ENOMEM, "logs");
	logs->feeds = feeds;
	struct feed *feed = &feeds[logs->n];
	*feed = (struct feed){ .woken = true };
	int r = log_reader_open(logs->dir, id, &feed->reader, err);
	if (r < 0)
		return r;
	if (names)
		feed->names = *names;
	logs->n++;
	return 0;
}

/* One that is no regular file, or gone meanwhile, is nothing to show where all are. */
static int add_any(struct logs *logs, const char *id, const struct naming *names, struct error *err)
{
	for (size_t i = 0; i < logs->n; i++)
		if (strcmp(log_reader_id(logs->feeds[i].reader), id) == 0)
			return 0;
	int r = add_feed(logs, id, names, err);
	return r == -ENOENT || r == -EINVAL || r == -ELOOP ? 0 : r;
}

static int add_all(struct logs *logs, const struct log_choices *choices, struct error *err)
{
	for (size_t i = 0; i < choices->n; i++) {
		const char *log = choices->v[i].log;
		int r = add_any(logs, log, log_choices_names(choices, log), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_wanted(struct logs *logs, int run, const char *wanted, struct error *err)
{
	struct log_choices choices;
	int r = log_choices_read(logs->dir, run, &choices, err);
	if (r < 0)
		return r;
	if (!wanted) {
		r = add_all(logs, &choices, err);
	} else {
		const struct log_choice *choice = log_choices_find(logs->dir, &choices, wanted, err);
		r = choice ? add_feed(logs, choice->log, log_choices_names(&choices, choice->log), err) : -EINVAL;
	}
	log_choices_free(&choices);
	return r;
}

/* -EPIPE: nobody reads any more. */
static int print(struct feed *feed)
{
	static char buf[LOG_LINE_TEXT_MAX];
	struct text text = text_init(buf, sizeof(buf));
	struct log_line line;
	if (!log_line_parse(feed->line, feed->len, &line))
		return 0; /* torn, when a disk was full */
	(void) log_line_names(&line, &feed->names);
	bool shown = !denied_only || log_line_denied(&line);
	if (shown)
		(as_json ? log_line_format_json : log_line_format)(&line, &feed->names, &text);
	log_line_clear(&line);
	return shown && puts(buf) < 0 ? -EPIPE : 0;
}

static bool is_older(const struct feed *a, const struct feed *b)
{
	if (a->len < TIME_OFFSET + TIME_SIZE || b->len < TIME_OFFSET + TIME_SIZE)
		return a->len < b->len;
	return memcmp(a->line + TIME_OFFSET, b->line + TIME_OFFSET, TIME_SIZE) < 0;
}

static void sift_down(struct logs *logs, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child + 1 < logs->heap_n && is_older(logs->heap[child + 1], logs->heap[child]))
			child++;
		if (child >= logs->heap_n || !is_older(logs->heap[child], logs->heap[at]))
			return;
		struct feed *feed = logs->heap[at];
		logs->heap[at] = logs->heap[child];
		logs->heap[child] = feed;
		at = child;
	}
}

static int fill_heap(struct logs *logs, struct error *err)
{
	struct feed **heap = reallocarray(logs->heap, logs->n ? logs->n : 1, sizeof(struct feed *));
	if (!heap)
		return error_set(err, ENOMEM, "logs");
	logs->heap = heap;
	logs->heap_n = 0;
	for (size_t i = 0; i < logs->n; i++) {
		struct feed *feed = &logs->feeds[i];
		int r = feed->woken ? log_reader_next(feed->reader, &feed->line, &feed->len, err) : 0;
		if (r < 0)
			return r;
		feed->woken = false;
		if (r > 0)
			heap[logs->heap_n++] = feed;
	}
	for (size_t i = logs->heap_n / 2; i-- > 0;)
		sift_down(logs, i);
	return 0;
}

/* Shows what there is. 1: nobody reads any more. */
static int show(struct logs *logs, struct error *err)
{
	int r = fill_heap(logs, err);
	if (r < 0)
		return r;
	while (logs->heap_n > 0) {
		struct feed *oldest = logs->heap[0];
		if (print(oldest) < 0)
			return 1;
		r = log_reader_next(oldest->reader, &oldest->line, &oldest->len, err);
		if (r < 0)
			return r;
		if (r == 0)
			logs->heap[0] = logs->heap[--logs->heap_n];
		sift_down(logs, 0);
	}
	return fflush(stdout) != 0;
}

static int wake(struct logs *logs, const char *name, struct error *err)
{
	char id[STATE_ID_MAX + 1];
	if (!log_choice_id(name, id))
		return 0;
	for (size_t i = 0; i < logs->n; i++)
		if (strcmp(log_reader_id(logs->feeds[i].reader), id) == 0) {
			logs->feeds[i].woken = true;
			return 0;
		}
	return logs->all ? add_any(logs, id, NULL, err) : 0;
}

/* More has happened than the kernel keeps. */
static int wake_all(struct logs *logs, struct error *err)
{
	for (size_t i = 0; i < logs->n; i++)
		logs->feeds[i].woken = true;
	return logs->all ? add_wanted(logs, -1, NULL, err) : 0;
}

/* 1: the directory is gone. */
static int take_events(struct logs *logs, struct error *err)
{
	char buf[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(logs->watch, buf, sizeof(buf));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : error_set(err, errno, "inotify");
	const struct inotify_event *event;
	for (char *p = buf; p < buf + n; p += sizeof(*event) + event->len) {
		event = (const struct inotify_event *) (void *) p;
		int r = 0;
		if (event->mask & IN_Q_OVERFLOW)
			r = wake_all(logs, err);
		else if (event->len > 0)
			r = wake(logs, event->name, err);
		else if (event->mask & IN_IGNORED)
			r = 1;
		if (r != 0)
			return r;
	}
	return 0;
}

/* A reader that goes away while nothing is written is seen by poll(2): POLLERR on a pipe. */
static int wait_and_show(struct logs *logs, struct error *err)
{
	struct pollfd fds[] = { { .fd = logs->watch, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return errno == EINTR ? 0 : error_set(err, errno, "poll");
	if (fds[1].revents & (POLLERR | POLLHUP))
		return 1;
	int r = take_events(logs, err);
	return r == 0 ? show(logs, err) : r;
}

/* Before anything is read, so that nothing is missed in between. */
static int watch_dir(struct logs *logs, const char *path, struct error *err)
{
	logs->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (logs->watch < 0 ||
		inotify_add_watch(logs->watch, path, IN_ONLYDIR | IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return error_set(err, errno, "follow %s", path);
	return 0;
}

/* A descriptor or two per log. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_dirs(const struct settings *settings, struct logs *logs, int *ret_run, struct error *err)
{
	logs->dir = open(settings->log, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (logs->dir < 0)
		return error_set(err, errno, "%s", settings->log);
	*ret_run = open(settings->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_run < 0 && errno != ENOENT)
		return error_set(err, errno, "%s", settings->run);
	return follow ? watch_dir(logs, settings->log, err) : 0;
}

static int show_logs(struct logs *logs, const struct settings *settings, const char *wanted, struct error *err)
{
	_cleanup_close_ int run = -1;
	int r = open_dirs(settings, logs, &run, err);
	if (r == -ENOENT && logs->dir < 0 && !wanted && !follow)
		return 0; /* no container yet */
	if (r == 0)
		r = add_wanted(logs, run, wanted, err);
	if (r == 0)
		r = show(logs, err);
	while (r == 0 && follow)
		r = wait_and_show(logs, err);
	return r;
}

static int run(int argc, char **argv, struct error *err)
{
	int r = options_parse(&argc, argv, options, err);
	if (r == 0 && argc > 2)
		r = error_say(err, EINVAL, "expected one container, or none for all");
	struct settings settings;
	if (r == 0)
		r = command_settings(&places, &settings, err);
	if (r < 0)
		return r;

	const char *wanted = argc == 2 ? argv[1] : NULL;
	struct logs logs = { .dir = -1, .watch = -1, .all = !wanted };
	raise_descriptors();
	(void) signal(SIGPIPE, SIG_IGN);
	r = show_logs(&logs, &settings, wanted, err);
	for (size_t i = 0; i < logs.n; i++)
		log_reader_free(logs.feeds[i].reader);
	free(logs.feeds);
	free(logs.heap);
	cleanup_close(&logs.watch);
	cleanup_close(&logs.dir);
	return r;
}

static int run_log(int argc, char **argv)
{
	struct error err;
	if (run(argc, argv, &err) >= 0)
		return 0;
	(void) fprintf(stderr, "oci-egress log: %s\n", err.msg);
	return 2;
}

const struct command command_log = {
	.name = "log",
	.operands = "[CONTAINER]",
	.text = "show what containers have reached and what was refused: one's log, by id, beginning of an id, or "
		"name, or "
		"all",
	.run = run_log,
	.options = options,
};
